"""Ports of a sandbox, from this side."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, AsyncIterator, Optional, Set, Tuple

import grpc
import grpc.aio

from .._failures import failure_of, late
from .._methods import FORWARD, About
from .._proto import ports_pb2 as po
from ..exceptions import SandboxException, UnavailableException
from .edge import AsyncEdge, AsyncIdle

_PART_BYTES = 64 * 1024


class AsyncForward:
    """A port of this machine whose connections come out at one of the sandbox."""

    def __init__(self, server: asyncio.AbstractServer, host: str, port: int) -> None:
        self._server = server
        self.host = host
        self.port = port

    async def close(self) -> None:
        """No new connections; those that stand go on to their end."""
        self._server.close()

    async def __aenter__(self) -> AsyncForward:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncPorts:
    """Programs in the sandbox that listen on its loopback."""

    def __init__(self, edge: AsyncEdge, sandbox_id: str, request_timeout: float) -> None:
        self._edge = edge
        self._id = sandbox_id
        self._request_timeout = request_timeout
        self._carried: Set[asyncio.Task[None]] = set()

    async def connect(
        self, port: int, request_timeout: Optional[float] = None
    ) -> Tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, as `asyncio.open_connection` has it. `FailedPreconditionException`: nobody listens there."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        try:
            await self._join(port, reader, writer, "ports.connect", request_timeout)
        except BaseException:
            ours.close()
            writer.close()
            raise
        return await asyncio.open_connection(sock=ours)

    async def forward(self, port: int, local_port: int = 0, host: str = "127.0.0.1") -> AsyncForward:
        """Listens here, at a free port unless one is named, for as long as it is not closed."""

        async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await self._join(port, reader, writer, "ports.forward")
            except SandboxException:
                # Whoever has connected sees that it is closed, as where nobody listens.
                writer.close()

        server = await asyncio.start_server(joined, host, local_port)
        bound = server.sockets[0].getsockname()
        return AsyncForward(server, bound[0], bound[1])

    async def _join(
        self,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stage: str,
        request_timeout: Optional[float] = None,
    ) -> None:
        """Answers when the connection stands; a task of its own carries it from then on."""
        about = About(stage, self._id, "port")
        seconds = request_timeout or self._request_timeout

        async def requests() -> AsyncIterator[po.ForwardPortRequest]:
            yield po.ForwardPortRequest(open=po.ForwardPortOpen(sandbox_id=self._id, port=port))
            while True:
                try:
                    data = await reader.read(_PART_BYTES)
                except OSError:
                    call.cancel()
                    return
                if not data:
                    return
                yield po.ForwardPortRequest(data=data)

        call: Any = self._edge.converse(FORWARD, requests())
        idle = AsyncIdle(seconds, call.cancel)
        try:
            first = await call.read()
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            if idle.is_over:
                raise late(about, seconds) from error
            if isinstance(error, asyncio.CancelledError):
                raise
            raise await self._edge.explained(failure_of(error), about) from error
        finally:
            idle.stop()
        if first is grpc.aio.EOF or first.WhichOneof("part") != "connected":
            raise UnavailableException("the first answer is not that it is connected", stage=stage, sandbox_id=self._id)
        self._edge.heard()
        task = asyncio.create_task(_receive(call, writer))
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)


async def _receive(call: Any, writer: asyncio.StreamWriter) -> None:
    try:
        # A call whose first answer was read is read to its end: gRPC lets nobody go through it as well.
        while (answer := await call.read()) is not grpc.aio.EOF:
            if answer.WhichOneof("part") == "end":
                writer.write_eof()
            else:
                writer.write(answer.data)
                await writer.drain()
    except (grpc.aio.AioRpcError, OSError):
        pass
    finally:
        call.cancel()
        writer.close()
