"""A process in a sandbox, and what it writes."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterator, Optional, Union

import grpc

from .._failures import Fate, Patience, failure_of, late
from .._following import ENDED_EARLY, Following, From, Gathered, Piece
from .._methods import CLOSE_INPUT, FORGET, INPUT, SIGNAL, About
from .._proto import processes_pb2 as p
from ..exceptions import ProcessNotFoundException, SandboxException, UnavailableException
from ..models import CommandResult, OutputChunk, OutputLost
from .edge import Edge

SIGKILL = 9


class EventStream:
    """Events of one process, to its exit, over as many connections as it takes."""

    def __init__(self, edge: Edge, following: Following, about: About, timeout: Optional[float]) -> None:
        self.following = following
        self._edge = edge
        self._about = about
        self._timeout = timeout
        self._end = None if not timeout else time.monotonic() + timeout
        self._call: Any = None
        self._is_stopped = False
        self._events = self._read()

    def __iter__(self) -> Iterator[p.ProcessEvent]:
        return self._events

    def first(self) -> p.ProcessEvent:
        return next(self._events)

    def stop(self) -> None:
        self._is_stopped = True
        if self._call is not None:
            self._call.cancel()

    def _read(self) -> Iterator[p.ProcessEvent]:
        patience = Patience(self._edge.reconnect_timeout)
        while not self._is_stopped:
            error: Optional[grpc.RpcError] = None
            try:
                for answer in self._open():
                    self._edge.heard()
                    patience.renew()
                    self.following.take(answer.event)
                    yield answer.event
                    if self.following.exit is not None:
                        return
            except grpc.RpcError as thrown:
                error = thrown
            finally:
                if self._call is not None:
                    self._call.cancel()
            if self._is_stopped:
                return
            if error is not None:
                self._raise_unless_lost(error, patience)
                continue
            self.following.dropped()
            if not self._edge.waits(ENDED_EARLY, patience):
                raise self._edge.explained(ENDED_EARLY, self._about)

    def _open(self) -> Any:
        left = None if self._end is None else max(self._end - time.monotonic(), 0.001)
        method, request = self.following.opening()
        self._call = self._edge.stream(method, request, left)
        return self._call

    def _raise_unless_lost(self, error: grpc.RpcError, patience: Patience) -> None:
        failure = failure_of(error)
        if self._end is not None and time.monotonic() >= self._end - 0.01:
            raise late(self._about, self._timeout or 0) from error
        if failure.fate is Fate.ANSWERED:
            if self.following.goes_on(failure):
                return
            raise self._edge.explained(failure, self._about, self._timeout) from error
        self.following.dropped()
        if not self._edge.waits(failure, patience):
            raise self._edge.explained(failure, self._about) from error


class Processes:
    """What may be done to a process by its number."""

    def __init__(self, edge: Edge, sandbox_id: str, request_timeout: float) -> None:
        self.edge = edge
        self.sandbox_id = sandbox_id
        self.request_timeout = request_timeout
        self.left: Dict[int, int] = {}
        """Where handles of this object have stopped to read. The server takes for seen what was on its way to them."""

    def about(self, stage: str, kind: str = "process") -> About:
        return About(stage, self.sandbox_id, kind)

    def signal(self, pid: int, number: int, everything: bool, stage: str, timeout: Optional[float]) -> bool:
        request = p.SignalProcessRequest(
            sandbox_id=self.sandbox_id, process=p.ProcessSelector(id=pid), signal=number, all=everything
        )
        try:
            self.edge.call(SIGNAL, request, self.about(stage), timeout or self.request_timeout)
        except ProcessNotFoundException:
            return False
        return True

    def send_input(self, pid: int, data: Union[str, bytes], stage: str, timeout: Optional[float]) -> None:
        raw = data.encode() if isinstance(data, str) else bytes(data)
        # One message has its bound; a pipe takes what it has room for, so nothing is lost by sending parts.
        for at in range(0, len(raw), 1 << 20):
            request = p.SendInputRequest(
                sandbox_id=self.sandbox_id, process=p.ProcessSelector(id=pid), data=raw[at : at + (1 << 20)]
            )
            try:
                self.edge.call(INPUT, request, self.about(stage), timeout or self.request_timeout)
            except UnavailableException as error:
                raise UnavailableException(
                    f"{error}; what was sent may have arrived, and is not sent again", sandbox_id=self.sandbox_id
                ) from error

    def close_input(self, pid: int, stage: str, timeout: Optional[float]) -> None:
        request = p.CloseInputRequest(sandbox_id=self.sandbox_id, process=p.ProcessSelector(id=pid))
        self.edge.call(CLOSE_INPUT, request, self.about(stage), timeout or self.request_timeout)

    def forget(self, pid: int) -> None:
        self._forget(p.ProcessSelector(id=pid))

    def forget_unanswered(self, following: Following) -> None:
        if following.unanswered is not None:
            self._forget(following.unanswered)

    def _forget(self, process: p.ProcessSelector) -> None:
        request = p.ForgetProcessRequest(sandbox_id=self.sandbox_id, process=process)
        self.edge.forget(FORGET, request, self.request_timeout)


class CommandHandle:
    """A process that runs, or has ended. Its output is read by iterating, or by `wait`; what nobody reads is kept in the
    sandbox, up to 16 MiB.
    """

    def __init__(
        self, processes: Processes, stream: EventStream, limit: Optional[float], is_terminal: bool = False
    ) -> None:
        self._processes = processes
        self._stream = stream
        self._limit = limit
        self._gathered = Gathered(is_terminal)
        try:
            self._gathered.take(stream.first())
        except BaseException:
            # Ctrl-C, too: nobody is there for what may have been started.
            processes.forget_unanswered(stream.following)
            raise
        self.pid = stream.following.pid
        self._pieces = self._read()
        self._failure: Optional[SandboxException] = None

    @property
    def stdout(self) -> str:
        """What has been read so far."""
        return self._gathered.stdout

    @property
    def stderr(self) -> str:
        return self._gathered.stderr

    @property
    def exit_code(self) -> Optional[int]:
        """None until the end has been read; -1 where a signal has ended it."""
        return self._gathered.exit_code

    @property
    def error(self) -> Optional[str]:
        return self._gathered.error

    @property
    def lost_bytes(self) -> int:
        """Of output that was not kept: nobody had read it in time."""
        return self._gathered.lost_bytes

    def __iter__(self) -> Iterator[Piece]:
        return self._pieces

    def _read(self) -> Iterator[Piece]:
        try:
            for event in self._stream:
                yield from self._gathered.take(event)
        except SandboxException as error:
            self._failure = error

    def wait(
        self,
        on_pty: Optional[Callable[[bytes], None]] = None,
        on_stdout: Optional[Callable[[str], None]] = None,
        on_stderr: Optional[Callable[[str], None]] = None,
    ) -> CommandResult:
        """Reads to the end. Raises `CommandExitException` for another exit code than 0."""
        for out, err, pty in self._pieces:
            if out is not None and on_stdout is not None:
                on_stdout(out)
            if err is not None and on_stderr is not None:
                on_stderr(err)
            if pty is not None and on_pty is not None:
                on_pty(pty)
        if self._failure is not None:
            raise self._failure
        if self._gathered.exit is None:
            raise SandboxException("disconnected before the command had ended", sandbox_id=self._processes.sandbox_id)
        return self._gathered.result(self._processes.sandbox_id, self._limit)

    def output(self, from_: From = "start", timeout: Optional[float] = None) -> Iterator[Union[OutputChunk, OutputLost]]:
        """Bytes with their offsets, on a connection of its own, to the end of the process."""
        following = Following(self._processes.sandbox_id, pid=self.pid, from_=from_)
        stream = EventStream(self._processes.edge, following, self._processes.about("output"), timeout)
        try:
            for event in stream:
                kind = event.WhichOneof("event")
                if kind == "output":
                    name = "stdout" if event.output.stream == p.OUTPUT_STREAM_STDOUT else "stderr"
                    yield OutputChunk(name, event.output.data, event.output.offset)
                elif kind == "lost":
                    yield OutputLost(event.lost.bytes)
        finally:
            stream.stop()

    def disconnect(self) -> None:
        """Reads no more. The process runs on; `commands.connect` reads on from here."""
        self._stream.stop()
        where = self._stream.following.next_offset
        if where is not None and self._gathered.exit is None:
            self._processes.left[self.pid] = where

    def kill(self) -> bool:
        """With all that it has started. False: it has exited before."""
        return self._processes.signal(self.pid, SIGKILL, True, "kill", None)

    def send_stdin(self, data: Union[str, bytes], request_timeout: Optional[float] = None) -> None:
        self._processes.send_input(self.pid, data, "send_stdin", request_timeout)

    def close_stdin(self, request_timeout: Optional[float] = None) -> None:
        self._processes.close_input(self.pid, "close_stdin", request_timeout)
