"""What comes of files over time: their bytes, and what changes in a directory."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Awaitable, Callable, Optional

import grpc
import grpc.aio

from .._failures import Fate, Patience, exception_of, failure_of, late
from .._files import Reading
from .._messages import CHANGES
from .._methods import READ, About
from ..exceptions import SandboxException, UnavailableException
from ..models import EntryInfo, FilesystemEvent
from .edge import AsyncEdge, AsyncIdle
from .handle import OutputHandler, tell


class AsyncFileStreamReader(AsyncIterator[bytes]):
    """A file's bytes as they come. `aclose` ends it early."""

    def __init__(self, edge: AsyncEdge, reading: Reading, about: About, idle_timeout: float) -> None:
        self._edge = edge
        self._reading = reading
        self._about = about
        self._seconds = idle_timeout
        self._parts = self._read()
        self._first: Optional[bytes] = None

    async def begin(self) -> None:
        """What can't be read fails here, not at the first part."""
        self._first = await self._parts.__anext__()

    def __aiter__(self) -> AsyncFileStreamReader:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, None
        return first or await self._parts.__anext__()

    async def __aenter__(self) -> AsyncFileStreamReader:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._parts.aclose()

    async def _read(self) -> Any:
        patience = Patience(self._edge.reconnect_timeout)
        while True:
            call = self._edge.stream(READ, self._reading.request())
            idle = AsyncIdle(self._seconds, call.cancel)
            try:
                async for answer in call:
                    idle.hold()
                    self._edge.heard()
                    patience.renew()
                    yield self._reading.take(answer)
                    idle.moved()
                return
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                if idle.is_over:
                    raise late(self._about, self._seconds) from error
                if isinstance(error, asyncio.CancelledError):
                    raise
                failure = failure_of(error)
                if failure.fate is Fate.ANSWERED or not await self._edge.waits(failure, patience):
                    raise await self._edge.explained(failure, self._about) from error
            finally:
                idle.stop()
                call.cancel()


class AsyncWatchHandle:
    """What changes in a directory, from the moment of `watch_dir` on, until `stop`."""

    def __init__(
        self,
        edge: AsyncEdge,
        call: Any,
        about: About,
        on_event: OutputHandler[FilesystemEvent],
        on_exit: Optional[OutputHandler[Optional[Exception]]],
        look: Optional[Callable[[str], Awaitable[Optional[EntryInfo]]]],
    ) -> None:
        """`look`: what is there by a name that an event has."""
        self._edge = edge
        self._call = call
        self._about = about
        self._on_event = on_event
        self._on_exit = on_exit
        self._look = look
        self._is_stopped = False
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        failure: Optional[Exception] = None
        try:
            # Its first answer was read: gRPC lets nobody go through the rest as well.
            while (answer := await self._call.read()) is not grpc.aio.EOF:
                change = CHANGES.get(answer.changed.change)
                if answer.WhichOneof("event") == "changed" and change is not None:
                    await self._told(FilesystemEvent(answer.changed.path, change))
        except grpc.aio.AioRpcError as error:
            if not self._is_stopped:
                failure = await missed(self._edge, error, self._about)
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
        except Exception as error:
            failure = error
        finally:
            self._call.cancel()
        await tell(self._on_exit, failure)

    async def _told(self, event: FilesystemEvent) -> None:
        if self._look is not None:
            event.entry = await self._look(event.name)
        await tell(self._on_event, event)

    async def stop(self) -> None:
        self._is_stopped = True
        self._call.cancel()
        await asyncio.wait([self._reading])


async def missed(edge: AsyncEdge, error: grpc.aio.AioRpcError, about: About) -> SandboxException:
    failure = failure_of(error)
    if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return late(about, 0)
    if failure.fate is Fate.ANSWERED:
        return await edge.explained(failure, about)
    words = f"{exception_of(failure, About(''), edge.endpoint)}; events may have been missed"
    return UnavailableException(
        f"{words} (look at the directory, and watch it again)", stage=about.stage, sandbox_id=about.sandbox_id
    )
