"""Files of a sandbox."""

from __future__ import annotations

import threading
from typing import Iterator, List, Literal, Optional, Sequence, Union, overload

import grpc

from .._failures import Fate, Patience, failure_of, late
from .._files import Reading, WriteData, WriteEntry, is_repeatable, linked, open_request, parts_of
from .._messages import entry_of
from .._methods import LIST_FILES, MAKE_DIRECTORY, MOVE, REMOVE, STAT, WATCH, WRITE, A, About, Method, Q
from .._proto import files_pb2 as f
from ..exceptions import AlreadyExistsException, FileNotFoundException, SandboxException
from ..models import EntryInfo, FileType, WriteInfo
from .edge import Edge, Idle
from .streams import FileStreamReader, WatchHandle


class Filesystem:
    """Files of the sandbox, as `user` may see them. Relative paths begin at the sandbox's working directory, "~" is the
    user's home.
    """

    def __init__(self, edge: Edge, sandbox_id: str, request_timeout: float) -> None:
        self._edge = edge
        self._id = sandbox_id
        self._request_timeout = request_timeout

    def _about(self, name: str) -> About:
        return About(f"files.{name}", self._id, "file")

    def _ask(self, method: Method[Q, A], request: Q, name: str, timeout: Optional[float]) -> A:
        return self._edge.call(method, request, self._about(name), timeout or self._request_timeout)

    @overload
    def read(
        self,
        path: str,
        format: Literal["text"] = "text",
        user: Optional[str] = None,
        request_timeout: Optional[float] = None,
    ) -> str: ...

    @overload
    def read(
        self, path: str, format: Literal["bytes"], user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> bytearray: ...

    @overload
    def read(
        self, path: str, format: Literal["stream"], user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> FileStreamReader: ...

    def read(
        self,
        path: str,
        format: Literal["text", "bytes", "stream"] = "text",
        user: Optional[str] = None,
        request_timeout: Optional[float] = None,
    ) -> Union[str, bytearray, FileStreamReader]:
        """`request_timeout`: seconds in which nothing comes."""
        reading = Reading(self._id, path, user)
        stream = FileStreamReader(self._edge, reading, self._about("read"), request_timeout or self._request_timeout)
        if format == "stream":
            return stream
        whole = bytearray()
        for part in stream:
            whole += part
        return whole if format == "bytes" else whole.decode("utf-8", "replace")

    def write(
        self, path: str, data: WriteData, user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> WriteInfo:
        """All of the file or nothing of it; the directories above it are made. `request_timeout`: seconds in which nothing
        moves.
        """
        patience = Patience(self._edge.reconnect_timeout)
        while True:
            try:
                entry = self._send(path, data, user, request_timeout or self._request_timeout)
                return WriteInfo(entry.name, FileType.FILE, entry.path)
            except grpc.RpcError as error:
                failure = failure_of(error)
                again = failure.fate is not Fate.ANSWERED and is_repeatable(data)
                if not again or not self._edge.waits(failure, patience):
                    raise self._edge.explained(failure, self._about("write")) from error

    def _send(self, path: str, data: WriteData, user: Optional[str], seconds: float) -> f.FileEntry:
        failure: List[BaseException] = []
        idle: List[Idle] = []
        ready = threading.Event()

        def requests() -> Iterator[f.WriteFileRequest]:
            try:
                yield open_request(self._id, path, user)
                ready.wait()
                idle[0].hold()
                for part in parts_of(data):
                    idle[0].moved()
                    yield f.WriteFileRequest(data=part)
                    idle[0].hold()
                idle[0].moved()
            except BaseException as thrown:
                # Without its end the server drops what has come.
                failure.append(thrown)
                return
            yield f.WriteFileRequest(end=f.WriteFileEnd())

        call = self._edge.send(WRITE, requests())
        idle.append(Idle(seconds, call.cancel))
        ready.set()
        try:
            answer: f.WriteFileResponse = call.result()
        except grpc.FutureCancelledError as error:
            raise late(self._about("write"), seconds) from error
        except grpc.RpcError as error:
            if failure and not isinstance(failure[0], GeneratorExit):
                raise failure[0] from error
            raise
        finally:
            idle[0].stop()
            call.cancel()
        self._edge.heard()
        return answer.entry

    def write_files(
        self, files: Sequence[WriteEntry], user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> List[WriteInfo]:
        return [self.write(one["path"], one["data"], user, request_timeout) for one in files]

    def list(
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
        answer = self._ask(LIST_FILES, request, "list", request_timeout)
        if answer.truncated:
            words = f"{path} has more than 10,000 entries (list a directory below it)"
            raise SandboxException(words, stage="files.list", sandbox_id=self._id)
        return [entry_of(entry) for entry in answer.entries]

    def exists(self, path: str, user: Optional[str] = None, request_timeout: Optional[float] = None) -> bool:
        request = f.StatFileRequest(sandbox_id=self._id, path=path, user=user or "")
        try:
            self._ask(STAT, request, "exists", request_timeout)
        except FileNotFoundException:
            return False
        return True

    def get_info(self, path: str, user: Optional[str] = None, request_timeout: Optional[float] = None) -> EntryInfo:
        """A link is told of as what it leads to, with `symlink_target`; one that leads nowhere as a link."""
        request = f.StatFileRequest(sandbox_id=self._id, path=path, user=user or "")
        entry = entry_of(self._ask(STAT, request, "get_info", request_timeout).entry)
        if entry.type is not FileType.SYMLINK:
            return entry
        request.follow = True
        try:
            return linked(entry, entry_of(self._ask(STAT, request, "get_info", request_timeout).entry))
        except SandboxException as error:
            if error.code in ("not_found", "permission_denied", "invalid_argument"):
                return entry
            raise

    stat = get_info

    def _found(self, path: str) -> Optional[EntryInfo]:
        try:
            return self.get_info(path)
        except FileNotFoundException:
            return None

    def remove(self, path: str, user: Optional[str] = None, request_timeout: Optional[float] = None) -> None:
        """With all that is in it; nothing to remove is no error."""
        request = f.RemoveFileRequest(sandbox_id=self._id, path=path, user=user or "", recursive=True)
        try:
            self._ask(REMOVE, request, "remove", request_timeout)
        except FileNotFoundException:
            pass

    def rename(
        self, old_path: str, new_path: str, user: Optional[str] = None, request_timeout: Optional[float] = None
    ) -> EntryInfo:
        request = f.MoveFileRequest(
            **{"sandbox_id": self._id, "from": old_path, "to": new_path, "user": user or ""}
        )
        return entry_of(self._ask(MOVE, request, "rename", request_timeout).entry)

    move = rename

    def make_dir(self, path: str, user: Optional[str] = None, request_timeout: Optional[float] = None) -> bool:
        """With the directories above it. False: it was there."""
        request = f.MakeDirectoryRequest(sandbox_id=self._id, path=path, user=user or "")
        try:
            self._ask(MAKE_DIRECTORY, request, "make_dir", request_timeout)
        except AlreadyExistsException:
            return False
        return True

    def watch_dir(
        self,
        path: str,
        user: Optional[str] = None,
        request_timeout: Optional[float] = None,
        recursive: bool = False,
        include_entry: bool = False,
    ) -> WatchHandle:
        """From its return on nothing is missed. Ask the handle for `get_new_events`, or iterate it."""
        request = f.WatchFilesRequest(sandbox_id=self._id, path=path, user=user or "", recursive=recursive)
        about = self._about("watch_dir")
        seconds = request_timeout or self._request_timeout
        call = self._edge.stream(WATCH, request)
        idle = Idle(seconds, call.cancel)
        try:
            next(call)
        except grpc.RpcError as error:
            if idle.is_over:
                raise late(about, seconds) from error
            raise self._edge.explained(failure_of(error), about) from error
        finally:
            idle.stop()
        self._edge.heard()
        return WatchHandle(self._edge, call, about, (lambda name: self._found(f"{path}/{name}")) if include_entry else None)
