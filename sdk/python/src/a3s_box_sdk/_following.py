"""What is known of a process's output while it is read, whatever becomes of the connection: for both clients."""

from __future__ import annotations

import codecs
import uuid
from typing import Any, List, Optional, Tuple, Union

import grpc
from google.protobuf.message import Message

from ._failures import Failure, Fate
from ._messages import BASH, SH
from ._methods import CONNECT, RUN, Method
from ._proto import processes_pb2 as p
from .exceptions import CommandExitException, InvalidArgumentException, TimeoutException
from .models import CommandResult

From = Union[str, int]
"""Where a connection begins: "start", "unseen", "now", or an offset."""

Piece = Tuple[Optional[str], Optional[str], Optional[bytes]]
"""As E2B has it: standard output, standard error, or a terminal's bytes."""

Opening = Tuple[Method[Any, Any], Message]
"""The call that goes on, and what it asks."""


ENDED_EARLY = Failure(grpc.StatusCode.UNAVAILABLE, "the stream ended before the process had", Fate.DROPPED)


class Following:
    """Says which call goes on where the last one was cut off, so that no byte is lost or comes twice."""

    def __init__(
        self, sandbox_id: str, *, start: Optional[p.StartProcessRequest] = None, pid: int = 0, from_: From = "start"
    ) -> None:
        self.sandbox_id = sandbox_id
        self.pid = pid
        self.exit: Optional[p.ProcessExit] = None
        self._start = start
        self._from: From = _checked(from_)
        self._next: Optional[int] = from_ if isinstance(from_, int) else None
        if start is not None:
            start.start_id = str(uuid.uuid4())

    @property
    def is_known(self) -> bool:
        """The process has been heard of."""
        return self.pid != 0

    @property
    def next_offset(self) -> Optional[int]:
        """Of the first byte that has not been handed out; None where it is not known."""
        return self._next

    def opening(self) -> Opening:
        """A start whose answer was lost is asked for again: by its id the server knows it, and starts nothing twice."""
        if self._start is not None and not self.is_known:
            return RUN, p.RunProcessRequest(start=self._start)
        request = p.ConnectProcessRequest(sandbox_id=self.sandbox_id)
        if self.is_known:
            request.process.id = self.pid
        where: From = self._from if self._next is None else self._next
        if isinstance(where, int):
            request.offset = where
        else:
            getattr(request, where).SetInParent()
        return CONNECT, request

    def take(self, event: p.ProcessEvent) -> None:
        kind = event.WhichOneof("event")
        if kind == "process":
            self.pid = event.process.id
        elif kind == "output":
            self._next = event.output.offset + len(event.output.data)
        elif kind == "lost":
            if self._next is None and self._from == "start":
                self._next = 0
            if self._next is not None:
                self._next += event.lost.bytes
        elif kind == "exit":
            self.exit = event.exit

    def goes_on(self, failure: Failure) -> bool:
        """Whether the next opening may succeed where this one has failed, without waiting for a server to come back."""
        if failure.code is not grpc.StatusCode.NOT_FOUND or self.is_known or self._start is None:
            return False
        if self._start.args and self._start.args[0] == BASH:
            self._start.args[0] = SH  # An image without bash has what its sh can do.
            self._start.start_id = str(uuid.uuid4())
            return True
        return False

    @property
    def unanswered(self) -> Optional[p.ProcessSelector]:
        """What may have been started, where nobody has heard of it."""
        if self.is_known or self._start is None:
            return None
        return p.ProcessSelector(start_id=self._start.start_id)

    def dropped(self) -> None:
        """The connection has gone, or the stream has ended without the exit."""
        if self._next is None and self.is_known and self._from == "now":
            self._from = "unseen"


def _checked(from_: From) -> From:
    if isinstance(from_, bool) or (isinstance(from_, int) and from_ < 0):
        raise InvalidArgumentException(f"{from_} is no offset")
    if not isinstance(from_, int) and from_ not in ("start", "unseen", "now"):
        raise InvalidArgumentException(f'from_ is "start", "unseen", "now" or an offset, not "{from_}"')
    return from_


class Gathered:
    """Output as text, and how it ended. Characters that come in two pieces are put together."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._decoders = {
            p.OUTPUT_STREAM_STDOUT: codecs.getincrementaldecoder("utf-8")("replace"),
            p.OUTPUT_STREAM_STDERR: codecs.getincrementaldecoder("utf-8")("replace"),
        }
        self._out: List[str] = []
        self._err: List[str] = []
        self.lost_bytes = 0
        self.exit: Optional[p.ProcessExit] = None

    @property
    def stdout(self) -> str:
        return _joined(self._out)

    @property
    def stderr(self) -> str:
        return _joined(self._err)

    def take(self, event: p.ProcessEvent) -> List[Piece]:
        kind = event.WhichOneof("event")
        if kind == "process" and event.process.HasField("terminal"):
            self._is_terminal = True
        elif kind == "output":
            if self._is_terminal:
                return [(None, None, event.output.data)]
            stream = event.output.stream
            return self._text(stream, self._decoders[stream].decode(event.output.data))
        elif kind == "lost":
            self.lost_bytes += event.lost.bytes
        elif kind == "exit":
            self.exit = event.exit
            return [piece for stream, one in self._decoders.items() for piece in self._text(stream, one.decode(b"", True))]
        return []

    def _text(self, stream: int, text: str) -> List[Piece]:
        if not text:
            return []
        is_out = stream == p.OUTPUT_STREAM_STDOUT
        (self._out if is_out else self._err).append(text)
        return [(text, None, None) if is_out else (None, text, None)]

    @property
    def exit_code(self) -> Optional[int]:
        if self.exit is None:
            return None
        return self.exit.code if self.exit.signal == 0 else -1

    @property
    def error(self) -> Optional[str]:
        if self.exit is None or (self.exit.signal == 0 and self.exit.code == 0):
            return None
        if self.exit.signal == 0:
            return f"exit status {self.exit.code}"
        return f"signal: {_SIGNALS.get(self.exit.signal, f'signal {self.exit.signal}')}"

    def result(self, sandbox_id: str, timeout: Optional[float]) -> CommandResult:
        """Or what is raised instead of one."""
        if self.exit is not None and self.exit.timed_out:
            words = f"the command has run for the {timeout or 0:g} s that it had (timeout gives it more; 0: no limit)"
            raise TimeoutException(words, stage="commands.run", sandbox_id=sandbox_id)
        code = self.exit_code
        if code != 0:
            raise CommandExitException(
                self.stderr,
                self.stdout,
                -1 if code is None else code,
                self.error,
                signal=0 if self.exit is None else self.exit.signal,
                lost_bytes=self.lost_bytes,
                sandbox_id=sandbox_id,
            )
        return CommandResult(self.stderr, self.stdout, 0, None, self.lost_bytes)


def _joined(parts: List[str]) -> str:
    """One string from now on: who asks again and again does not join again and again."""
    if len(parts) > 1:
        parts[:] = ["".join(parts)]
    return parts[0] if parts else ""


# Of Go's os.ProcessState, which E2B's words are.
_SIGNALS = {
    **{1: "hangup", 2: "interrupt", 3: "quit", 4: "illegal instruction", 5: "trace/breakpoint trap", 6: "aborted"},
    **{7: "bus error", 8: "floating point exception", 9: "killed", 10: "user defined signal 1"},
    **{11: "segmentation fault", 12: "user defined signal 2", 13: "broken pipe", 14: "alarm clock", 15: "terminated"},
    **{24: "CPU time limit exceeded", 25: "file size limit exceeded", 31: "bad system call"},
}
