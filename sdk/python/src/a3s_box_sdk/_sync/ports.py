"""Ports of a sandbox, from this side."""

from __future__ import annotations

import socket
import threading
from typing import Any, Iterator, Optional

import grpc

from .._failures import failure_of, late
from .._methods import FORWARD, About
from .._proto import ports_pb2 as po
from ..exceptions import SandboxException, UnavailableException
from .edge import Edge, Idle

_PART_BYTES = 64 * 1024


class Forward:
    """A port of this machine whose connections come out at one of the sandbox."""

    def __init__(self, ports: Ports, port: int, listener: socket.socket) -> None:
        self.host: str = listener.getsockname()[0]
        self.port: int = listener.getsockname()[1]
        self._ports = ports
        self._target = port
        self._listener = listener
        self._is_closed = False
        threading.Thread(target=self._accept, daemon=True, name="a3s-box-forward").start()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(inner,), daemon=True, name="a3s-box-forward").start()

    def _join(self, inner: socket.socket) -> None:
        try:
            self._ports._join(self._target, inner, "ports.forward")
        except SandboxException:
            # Whoever has connected sees that it is closed, as where nobody listens.
            inner.close()

    def close(self) -> None:
        """No new connections; those that stand go on to their end."""
        self._is_closed = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def __enter__(self) -> Forward:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Ports:
    """Programs in the sandbox that listen on its loopback."""

    def __init__(self, edge: Edge, sandbox_id: str, request_timeout: float) -> None:
        self._edge = edge
        self._id = sandbox_id
        self._request_timeout = request_timeout

    def connect(self, port: int, request_timeout: Optional[float] = None) -> socket.socket:
        """A connected socket. `FailedPreconditionException`: nobody listens there."""
        ours, theirs = socket.socketpair()
        try:
            self._join(port, theirs, "ports.connect", request_timeout)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return ours

    def forward(self, port: int, local_port: int = 0, host: str = "127.0.0.1") -> Forward:
        """Listens here, at a free port unless one is named, for as long as it is not closed."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, local_port), family=family)
        return Forward(self, port, listener)

    def _join(self, port: int, inner: socket.socket, stage: str, request_timeout: Optional[float] = None) -> None:
        """Answers when the connection stands; it is carried from then on by threads of its own."""
        about = About(stage, self._id, "port")
        seconds = request_timeout or self._request_timeout

        def requests() -> Iterator[po.ForwardPortRequest]:
            yield po.ForwardPortRequest(open=po.ForwardPortOpen(sandbox_id=self._id, port=port))
            while True:
                try:
                    data = inner.recv(_PART_BYTES)
                except OSError:
                    call.cancel()
                    return
                if not data:
                    return
                yield po.ForwardPortRequest(data=data)

        call: Any = self._edge.converse(FORWARD, requests())
        idle = Idle(seconds, call.cancel)
        try:
            if next(call).WhichOneof("part") != "connected":
                raise UnavailableException("the first answer is not that it is connected", stage=stage, sandbox_id=self._id)
        except grpc.RpcError as error:
            raise (late(about, seconds) if idle.is_over else self._edge.explained(failure_of(error), about)) from error
        finally:
            idle.stop()
        self._edge.heard()
        threading.Thread(target=_receive, args=(call, inner), daemon=True, name="a3s-box-port").start()


def _receive(call: Any, inner: socket.socket) -> None:
    try:
        for answer in call:
            if answer.WhichOneof("part") == "end":
                inner.shutdown(socket.SHUT_WR)
            else:
                inner.sendall(answer.data)
    except (grpc.RpcError, OSError):
        pass
    finally:
        call.cancel()
        # Wakes the thread that reads what is to be sent.
        try:
            inner.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        inner.close()
