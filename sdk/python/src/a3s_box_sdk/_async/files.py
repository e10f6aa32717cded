"""Files of a sandbox."""

from __future__ import annotations

import asyncio
from typing import AsyncIterable, AsyncIterator, List, Literal, Optional, Sequence, TypedDict, Union, overload

import grpc.aio

from .._failures import Fate, Patience, failure_of, late
from .._files import PART_BYTES, Reading, WriteData, is_repeatable, linked, open_request, parts_of
from .._messages import entry_of
from .._methods import LIST_FILES, MAKE_DIRECTORY, MOVE, REMOVE, STAT, WATCH, WRITE, A, About, Method, Q
from .._proto import files_pb2 as f
from ..exceptions import AlreadyExistsException, FileNotFoundException, InvalidArgumentException, SandboxException
from ..models import EntryInfo, FilesystemEvent, FileType, WriteInfo
from .edge import AsyncEdge, AsyncIdle
from .handle import OutputHandler
from .streams import AsyncFileStreamReader, AsyncWatchHandle

AsyncWriteData = Union[WriteData, AsyncIterable[bytes]]


class AsyncWriteEntry(TypedDict):
    path: str
    data: AsyncWriteData


async def _aparts(data: AsyncWriteData) -> AsyncIterator[bytes]:
    if isinstance(data, AsyncIterable):
        async for piece in data:
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                raise InvalidArgumentException(f"the parts of a file are bytes, not {type(piece).__name__}")
            for at in range(0, len(piece), PART_BYTES):
                yield bytes(piece[at : at + PART_BYTES])
        return
    parts = parts_of(data)
    if is_repeatable(data):
        for part in parts:
            yield part
        return
    # Reading a file may wait for a disk, which the event loop must not.
    loop = asyncio.get_running_loop()
    while True:
        read = await loop.run_in_executor(None, next, parts, None)
        if read is None:
            return
        yield read


class AsyncFilesystem:
    """Files of the sandbox, as `user` may see them. Relative paths begin at the sandbox's working directory, "~" is the
    user's home.
    """

    def __init__(self, edge: AsyncEdge, sandbox_id: str, request_timeout: float) -> None:
        self._edge = edge
        self._id = sandbox_id
        self._request_timeout = request_timeout

    def _about(self, name: str) -> About:
        return About(f"files.{name}", self._id, "file")

    async def _ask(self, method: Method[Q, A], request: Q, name: str, timeout: Optional[float]) -> A:
        return await self._edge.call(method, request, self._about(name), timeout or self._request_timeout)

    @overload
    async def read(
        self,
        path: str,
        format: Literal["text"] = "text",
        user: Optional[str] = None,
        request_timeout: Optional[float] = None,
    ) -> str: ...

    @overload
    async def read(
        self, path: str, format: Literal["bytes"], user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> bytearray: ...

    @overload
    async def read(
        self, path: str, format: Literal["stream"], user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> AsyncFileStreamReader: ...

    async def read(
        self,
        path: str,
        format: Literal["text", "bytes", "stream"] = "text",
        user: Optional[str] = None,
        request_timeout: Optional[float] = None,
    ) -> Union[str, bytearray, AsyncFileStreamReader]:
        """`request_timeout`: seconds in which nothing comes."""
        reading = Reading(self._id, path, user)
        seconds = request_timeout or self._request_timeout
        stream = AsyncFileStreamReader(self._edge, reading, self._about("read"), seconds)
        await stream.begin()
        if format == "stream":
            return stream
        whole = bytearray()
        async for part in stream:
            whole += part
        return whole if format == "bytes" else whole.decode("utf-8", "replace")

    async def write(
        self, path: str, data: AsyncWriteData, user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> WriteInfo:
        """All of the file or nothing of it; the directories above it are made. `request_timeout`: seconds in which nothing
        moves.
        """
        patience = Patience(self._edge.reconnect_timeout)
        while True:
            try:
                entry = await self._send(path, data, user, request_timeout or self._request_timeout)
                return WriteInfo(entry.name, FileType.FILE, entry.path)
            except grpc.aio.AioRpcError as error:
                failure = failure_of(error)
                again = failure.fate is not Fate.ANSWERED and is_repeatable(data)
                if not again or not await self._edge.waits(failure, patience):
                    raise await self._edge.explained(failure, self._about("write")) from error

    async def _send(self, path: str, data: AsyncWriteData, user: Optional[str], seconds: float) -> f.FileEntry:
        failure: List[Exception] = []
        idle: List[AsyncIdle] = []
        ready = asyncio.Event()

        async def requests() -> AsyncIterator[f.WriteFileRequest]:
            try:
                yield open_request(self._id, path, user)
                await ready.wait()
                idle[0].hold()
                async for part in _aparts(data):
                    idle[0].moved()
                    yield f.WriteFileRequest(data=part)
                    idle[0].hold()
                idle[0].moved()
            except Exception as thrown:
                # Without its end the server drops what has come.
                failure.append(thrown)
                return
            yield f.WriteFileRequest(end=f.WriteFileEnd())

        call = self._edge.send(WRITE, requests())
        idle.append(AsyncIdle(seconds, call.cancel))
        ready.set()
        try:
            answer: f.WriteFileResponse = await call
        except asyncio.CancelledError as error:
            if idle[0].is_over:
                raise late(self._about("write"), seconds) from error
            raise
        except grpc.aio.AioRpcError as error:
            if failure:
                raise failure[0] from error
            raise
        finally:
            idle[0].stop()
            call.cancel()
        self._edge.heard()
        return answer.entry

    async def write_files(
        self, files: Sequence[AsyncWriteEntry], user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> List[WriteInfo]:
        return [await self.write(one["path"], one["data"], user, request_timeout) for one in files]

    async def list(
        self,
        path: str,
        depth: Optional[int] = 1,
        user: Optional[str] = None,
        request_timeout: Optional[float] = None,
    ) -> List[EntryInfo]:
        """At most 10,000 entries; more are refused, not left out."""
        request = f.ListFilesRequest(
            sandbox_id=self._id, path=path, user=user or "", depth=1 if depth is None else depth, limit=10_000
        )
        answer = await self._ask(LIST_FILES, request, "list", request_timeout)
        if answer.truncated:
            words = f"{path} has more than 10,000 entries (list a directory below it)"
            raise SandboxException(words, stage="files.list", sandbox_id=self._id)
        return [entry_of(entry) for entry in answer.entries]

    async def exists(self, path: str, user: Optional[str] = None, request_timeout: Optional[float] = None) -> bool:
        request = f.StatFileRequest(sandbox_id=self._id, path=path, user=user or "")
        try:
            await self._ask(STAT, request, "exists", request_timeout)
        except FileNotFoundException:
            return False
        return True

    async def get_info(
        self, path: str, user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> EntryInfo:
        """A link is told of as what it leads to, with `symlink_target`; one that leads nowhere as a link."""
        request = f.StatFileRequest(sandbox_id=self._id, path=path, user=user or "")
        entry = entry_of((await self._ask(STAT, request, "get_info", request_timeout)).entry)
        if entry.type is not FileType.SYMLINK:
            return entry
        request.follow = True
        try:
            return linked(entry, entry_of((await self._ask(STAT, request, "get_info", request_timeout)).entry))
        except SandboxException as error:
            if error.code in ("not_found", "permission_denied", "invalid_argument"):
                return entry
            raise

    stat = get_info

    async def remove(self, path: str, user: Optional[str] = None, request_timeout: Optional[float] = None) -> None:
        """With all that is in it; nothing to remove is no error."""
        request = f.RemoveFileRequest(sandbox_id=self._id, path=path, user=user or "", recursive=True)
        try:
            await self._ask(REMOVE, request, "remove", request_timeout)
        except FileNotFoundException:
            pass

    async def rename(
        self, old_path: str, new_path: str, user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> EntryInfo:
        request = f.MoveFileRequest(
            **{"sandbox_id": self._id, "from": old_path, "to": new_path, "user": user or ""}
        )
        return entry_of((await self._ask(MOVE, request, "rename", request_timeout)).entry)

    move = rename

    async def make_dir(self, path: str, user: Optional[str] = None, request_timeout: Optional[float] = None) -> bool:
        """With the directories above it. False: it was there."""
        request = f.MakeDirectoryRequest(sandbox_id=self._id, path=path, user=user or "")
        try:
            await self._ask(MAKE_DIRECTORY, request, "make_dir", request_timeout)
        except AlreadyExistsException:
            return False
        return True

    async def watch_dir(
        self,
        path: str,
        on_event: OutputHandler[FilesystemEvent],
        on_exit: Optional[OutputHandler[Optional[Exception]]] = None,
        user: Optional[str] = None,
        request_timeout: Optional[float] = None,
        timeout: Optional[float] = 60,
        recursive: bool = False,
        include_entry: bool = False,
    ) -> AsyncWatchHandle:
        """From its return on nothing is missed. `timeout`: seconds for which it watches; 0: until `stop`."""
        request = f.WatchFilesRequest(sandbox_id=self._id, path=path, user=user or "", recursive=recursive)
        about = self._about("watch_dir")
        seconds = request_timeout or self._request_timeout
        call = self._edge.stream(WATCH, request, timeout or None)
        idle = AsyncIdle(seconds, call.cancel)
        try:
            await call.read()
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            if idle.is_over:
                raise late(about, seconds) from error
            if isinstance(error, asyncio.CancelledError):
                raise
            raise await self._edge.explained(failure_of(error), about) from error
        finally:
            idle.stop()
        self._edge.heard()

        async def look(name: str) -> Optional[EntryInfo]:
            try:
                return await self.get_info(f"{path}/{name}")
            except FileNotFoundException:
                return None

        return AsyncWatchHandle(self._edge, call, about, on_event, on_exit, look if include_entry else None)
