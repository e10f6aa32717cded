"""What both clients know of files: bodies in parts, and where a read goes on."""

from __future__ import annotations

from typing import IO, Iterable, Iterator, Optional, TypedDict, Union

from ._proto import files_pb2 as f
from .exceptions import InvalidArgumentException, UnavailableException
from .models import EntryInfo

PART_BYTES = 256 * 1024

WriteData = Union[str, bytes, "IO[bytes]", "IO[str]", Iterable[bytes]]


class WriteEntry(TypedDict):
    path: str
    data: WriteData


def parts_of(data: WriteData) -> Iterator[bytes]:
    """Bytes, in parts that fit into messages."""
    if isinstance(data, str):
        data = data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        whole = memoryview(data)
        for at in range(0, len(whole), PART_BYTES):
            yield bytes(whole[at : at + PART_BYTES])
        return
    read = getattr(data, "read", None)
    pieces: Iterable[object] = iter(lambda: read(PART_BYTES), type(data)) if callable(read) else data
    for piece in pieces:
        raw = piece.encode() if isinstance(piece, str) and callable(read) else piece
        if not isinstance(raw, (bytes, bytearray, memoryview)):
            raise InvalidArgumentException(f"the parts of a file are bytes, not {type(raw).__name__}")
        if len(raw) == 0 and callable(read):
            return
        for at in range(0, len(raw), PART_BYTES):
            yield bytes(raw[at : at + PART_BYTES])


def is_repeatable(data: object) -> bool:
    return isinstance(data, (str, bytes, bytearray, memoryview))


def open_request(sandbox_id: str, path: str, user: Optional[str]) -> f.WriteFileRequest:
    return f.WriteFileRequest(
        open=f.WriteFileOpen(sandbox_id=sandbox_id, path=path, user=user or "", parents=True)
    )


class Reading:
    """Where a read of a file has come to; it goes on there only while it is the same file."""

    def __init__(self, sandbox_id: str, path: str, user: Optional[str]) -> None:
        self._asked = (sandbox_id, path, user or "")
        self._offset = 0
        self._entry: Optional[f.FileEntry] = None

    def request(self) -> f.ReadFileRequest:
        sandbox_id, path, user = self._asked
        return f.ReadFileRequest(sandbox_id=sandbox_id, path=path, user=user, offset=self._offset)

    def take(self, answer: f.ReadFileResponse) -> bytes:
        if answer.WhichOneof("part") != "entry":
            self._offset += len(answer.data)
            return answer.data
        entry, before = answer.entry, self._entry
        if before is not None and (entry.size_bytes, entry.modified_at) != (before.size_bytes, before.modified_at):
            raise UnavailableException(
                f"{self._asked[1]} was changed while it was read and the connection was lost (read it again)",
                stage="files.read",
                sandbox_id=self._asked[0],
            )
        self._entry = entry
        return b""


def linked(link: EntryInfo, target: EntryInfo) -> EntryInfo:
    """A link as what it leads to, with where that is."""
    link.type = target.type
    link.mode = target.mode & 0o777
    link.symlink_target = target.path if target.path != link.path else link.symlink_target
    return link
