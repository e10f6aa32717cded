"""A process in a sandbox, and what it writes."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, List, Optional, TypeVar, Union

import grpc
import grpc.aio

from .._failures import Fate, Patience, failure_of, late
from .._following import ENDED_EARLY, Following, From, Gathered, Piece
from .._methods import CLOSE_INPUT, FORGET, INPUT, SIGNAL, About
from .._proto import processes_pb2 as p
from .._sync.handle import SIGKILL
from ..exceptions import ProcessNotFoundException, SandboxException, UnavailableException
from ..models import CommandResult, OutputChunk, OutputLost
from .edge import AsyncEdge

T = TypeVar("T")
OutputHandler = Callable[[T], Union[Awaitable[object], object]]


async def tell(handler: Optional[OutputHandler[T]], value: T) -> None:
    if handler is None:
        return
    answer = handler(value)
    if inspect.isawaitable(answer):
        await answer


class AsyncEventStream:
    """Events of one process, to its exit, over as many connections as it takes."""

    def __init__(self, edge: AsyncEdge, following: Following, about: About, timeout: Optional[float]) -> None:
        self.following = following
        self._edge = edge
        self._about = about
        self._timeout = timeout
        self._end = None if not timeout else time.monotonic() + timeout
        self._call: Any = None
        self._is_stopped = False
        self._events = self._read()

    def __aiter__(self) -> AsyncIterator[p.ProcessEvent]:
        return self._events

    async def first(self) -> p.ProcessEvent:
        return await self._events.__anext__()

    def stop(self) -> None:
        self._is_stopped = True
        if self._call is not None:
            self._call.cancel()

    async def _read(self) -> AsyncIterator[p.ProcessEvent]:
        patience = Patience(self._edge.reconnect_timeout)
        while not self._is_stopped:
            error: Optional[grpc.aio.AioRpcError] = None
            try:
                async for answer in self._open():
                    self._edge.heard()
                    patience.renew()
                    self.following.take(answer.event)
                    yield answer.event
                    if self.following.exit is not None:
                        return
            except grpc.aio.AioRpcError as thrown:
                error = thrown
            except asyncio.CancelledError:
                if not self._is_stopped:
                    raise
            finally:
                if self._call is not None:
                    self._call.cancel()
            if self._is_stopped:
                return
            if error is not None:
                await self._raise_unless_lost(error, patience)
                continue
            self.following.dropped()
            if not await self._edge.waits(ENDED_EARLY, patience):
                raise await self._edge.explained(ENDED_EARLY, self._about)

    def _open(self) -> Any:
        left = None if self._end is None else max(self._end - time.monotonic(), 0.001)
        method, request = self.following.opening()
        self._call = self._edge.stream(method, request, left)
        return self._call

    async def _raise_unless_lost(self, error: grpc.aio.AioRpcError, patience: Patience) -> None:
        failure = failure_of(error)
        if self._end is not None and time.monotonic() >= self._end - 0.01:
            raise late(self._about, self._timeout or 0) from error
        if failure.fate is Fate.ANSWERED:
            if self.following.goes_on(failure):
                return
            raise await self._edge.explained(failure, self._about, self._timeout) from error
        self.following.dropped()
        if not await self._edge.waits(failure, patience):
            raise await self._edge.explained(failure, self._about) from error


class AsyncProcesses:
    """What may be done to a process by its number."""

    def __init__(self, edge: AsyncEdge, sandbox_id: str, request_timeout: float) -> None:
        self.edge = edge
        self.sandbox_id = sandbox_id
        self.request_timeout = request_timeout
        self.left: Dict[int, int] = {}
        """Where handles of this object have stopped to read. The server takes for seen what was on its way to them."""

    def about(self, stage: str, kind: str = "process") -> About:
        return About(stage, self.sandbox_id, kind)

    async def signal(self, pid: int, number: int, everything: bool, stage: str, timeout: Optional[float]) -> bool:
        request = p.SignalProcessRequest(
            sandbox_id=self.sandbox_id, process=p.ProcessSelector(id=pid), signal=number, all=everything
        )
        try:
            await self.edge.call(SIGNAL, request, self.about(stage), timeout or self.request_timeout)
        except ProcessNotFoundException:
            return False
        return True

    async def send_input(self, pid: int, data: Union[str, bytes], stage: str, timeout: Optional[float]) -> None:
        raw = data.encode() if isinstance(data, str) else bytes(data)
        for at in range(0, len(raw), 1 << 20):
            request = p.SendInputRequest(
                sandbox_id=self.sandbox_id, process=p.ProcessSelector(id=pid), data=raw[at : at + (1 << 20)]
            )
            try:
                await self.edge.call(INPUT, request, self.about(stage), timeout or self.request_timeout)
            except UnavailableException as error:
                raise UnavailableException(
                    f"{error}; what was sent may have arrived, and is not sent again", sandbox_id=self.sandbox_id
                ) from error

    async def close_input(self, pid: int, stage: str, timeout: Optional[float]) -> None:
        request = p.CloseInputRequest(sandbox_id=self.sandbox_id, process=p.ProcessSelector(id=pid))
        await self.edge.call(CLOSE_INPUT, request, self.about(stage), timeout or self.request_timeout)

    def forget(self, pid: int) -> None:
        self._forget(p.ProcessSelector(id=pid))

    def forget_unanswered(self, following: Following) -> None:
        if following.unanswered is not None:
            self._forget(following.unanswered)

    def _forget(self, process: p.ProcessSelector) -> None:
        request = p.ForgetProcessRequest(sandbox_id=self.sandbox_id, process=process)
        self.edge.forget(FORGET, request, self.request_timeout)


class AsyncCommandHandle:
    """A process that runs, or has ended. Its output is read as it comes, and told to the callbacks."""

    def __init__(
        self,
        processes: AsyncProcesses,
        stream: AsyncEventStream,
        limit: Optional[float],
        gathered: Gathered,
        on_stdout: Optional[OutputHandler[str]],
        on_stderr: Optional[OutputHandler[str]],
        on_pty: Optional[OutputHandler[bytes]],
    ) -> None:
        self.pid = stream.following.pid
        self._processes = processes
        self._stream = stream
        self._limit = limit
        self._gathered = gathered
        self._handlers = (on_stdout, on_stderr, on_pty)
        self._reading = asyncio.create_task(self._read())
        # Whoever never waits is not told of what went wrong.
        self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())

    @staticmethod
    async def open(
        processes: AsyncProcesses,
        stream: AsyncEventStream,
        limit: Optional[float],
        is_terminal: bool = False,
        on_stdout: Optional[OutputHandler[str]] = None,
        on_stderr: Optional[OutputHandler[str]] = None,
        on_pty: Optional[OutputHandler[bytes]] = None,
    ) -> AsyncCommandHandle:
        gathered = Gathered(is_terminal)
        try:
            gathered.take(await stream.first())
        except BaseException:
            # A cancellation, too: nobody is there for what may have been started.
            processes.forget_unanswered(stream.following)
            raise
        return AsyncCommandHandle(processes, stream, limit, gathered, on_stdout, on_stderr, on_pty)

    @property
    def stdout(self) -> str:
        """What has come so far."""
        return self._gathered.stdout

    @property
    def stderr(self) -> str:
        return self._gathered.stderr

    @property
    def exit_code(self) -> Optional[int]:
        """None while it runs; -1 where a signal has ended it."""
        return self._gathered.exit_code

    @property
    def error(self) -> Optional[str]:
        return self._gathered.error

    @property
    def lost_bytes(self) -> int:
        """Of output that was not kept: nobody had read it in time."""
        return self._gathered.lost_bytes

    async def _read(self) -> None:
        on_stdout, on_stderr, on_pty = self._handlers
        async for event in self._stream:
            pieces: List[Piece] = self._gathered.take(event)
            for out, err, pty in pieces:
                if out is not None:
                    await tell(on_stdout, out)
                if err is not None:
                    await tell(on_stderr, err)
                if pty is not None:
                    await tell(on_pty, pty)

    async def wait(self) -> CommandResult:
        """To its end. Raises `CommandExitException` for another exit code than 0."""
        await asyncio.shield(self._reading)
        if self._gathered.exit is None:
            raise SandboxException("disconnected before the command had ended", sandbox_id=self._processes.sandbox_id)
        return self._gathered.result(self._processes.sandbox_id, self._limit)

    async def output(
        self, from_: From = "start", timeout: Optional[float] = None
    ) -> AsyncIterator[Union[OutputChunk, OutputLost]]:
        """Bytes with their offsets, on a connection of its own, to the end of the process."""
        following = Following(self._processes.sandbox_id, pid=self.pid, from_=from_)
        stream = AsyncEventStream(self._processes.edge, following, self._processes.about("output"), timeout)
        try:
            async for event in stream:
                kind = event.WhichOneof("event")
                if kind == "output":
                    name = "stdout" if event.output.stream == p.OUTPUT_STREAM_STDOUT else "stderr"
                    yield OutputChunk(name, event.output.data, event.output.offset)
                elif kind == "lost":
                    yield OutputLost(event.lost.bytes)
        finally:
            stream.stop()

    async def disconnect(self) -> None:
        """Reads no more. The process runs on; `commands.connect` reads on from here."""
        self._stream.stop()
        await asyncio.wait([self._reading])
        where = self._stream.following.next_offset
        if where is not None and self._gathered.exit is None:
            self._processes.left[self.pid] = where

    async def kill(self) -> bool:
        """With all that it has started. False: it has exited before."""
        return await self._processes.signal(self.pid, SIGKILL, True, "kill", None)

    async def send_stdin(self, data: Union[str, bytes], request_timeout: Optional[float] = None) -> None:
        await self._processes.send_input(self.pid, data, "send_stdin", request_timeout)

    async def close_stdin(self, request_timeout: Optional[float] = None) -> None:
        await self._processes.close_input(self.pid, "close_stdin", request_timeout)
