"""What goes wrong, as classes. Names that E2B's SDK has mean here what they mean there."""

from __future__ import annotations

import re
from typing import ClassVar, Dict, Optional, Type

_hint = re.compile(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)\s*$")


class SandboxException(Exception):
    """Anything that went wrong. The message has the stage, the sandbox, and the server's words with what to do."""

    code: ClassVar[str] = "internal"

    def __init__(
        self, message: str = "", *, stage: Optional[str] = None, sandbox_id: Optional[str] = None
    ) -> None:
        about = [stage or "", f"[sandbox {sandbox_id}]" if sandbox_id else ""]
        place = " ".join(part for part in about if part)
        super().__init__(f"{place}: {message}" if place else message)
        self.stage = stage
        """The call that failed: "commands.run"."""
        self.sandbox_id = sandbox_id

    @property
    def hint(self) -> Optional[str]:
        """What to do about it, where the message says so: what is in brackets at its end."""
        found = _hint.search(str(self))
        return None if found is None else found.group(1)


class InvalidArgumentException(SandboxException):
    """The request is wrong; repeating it can't help."""

    code = "invalid_argument"


class NotFoundException(SandboxException):
    """What was named is not there."""

    code = "not_found"


class SandboxNotFoundException(NotFoundException):
    """There is no such sandbox: it has ended, or it is somebody else's."""


class FileNotFoundException(NotFoundException):
    """There is no such file or directory in the sandbox."""


class ProcessNotFoundException(NotFoundException):
    """There is no such process, or it has exited."""


class AlreadyExistsException(SandboxException):
    code = "already_exists"


class FailedPreconditionException(SandboxException):
    """Legal, but not in this state: input to a process without one, a port that nobody listens on."""

    code = "failed_precondition"


class RateLimitException(SandboxException):
    """A limit is reached."""

    code = "resource_exhausted"


class QuotaException(RateLimitException):
    """A quota or a limit is used up: of sandboxes, vCPUs, memory, starts a minute, processes."""


class NotEnoughSpaceException(SandboxException):
    """The disk of the sandbox is full."""

    code = "resource_exhausted"


class PermissionDeniedException(SandboxException):
    code = "permission_denied"


class AuthenticationException(SandboxException):
    """Who calls is not known, and has to be: a token is missing or nobody's."""

    code = "unauthenticated"


class UnimplementedException(SandboxException):
    """The server, or the protocol that is spoken with it, has no such thing."""

    code = "unimplemented"


class UnavailableException(SandboxException):
    """Nobody answers; repeating may help."""

    code = "unavailable"


class TimeoutException(SandboxException):
    """The time was over: the command's own, or that of the wait for an answer."""

    code = "deadline_exceeded"


class CommandExitException(SandboxException):
    """A command has exited with another code than 0, or was ended by a signal."""

    code = "command_exit"

    def __init__(
        self,
        stderr: str = "",
        stdout: str = "",
        exit_code: int = 0,
        error: Optional[str] = None,
        *,
        signal: int = 0,
        lost_bytes: int = 0,
        sandbox_id: Optional[str] = None,
    ) -> None:
        super().__init__(f"Command exited with code {exit_code} and error:\n{stderr}", sandbox_id=sandbox_id)
        self.stderr = stderr
        self.stdout = stdout
        self.exit_code = exit_code
        self.error = error
        self.signal = signal
        self.lost_bytes = lost_bytes


of_code: Dict[str, Type[SandboxException]] = {
    kind.code: kind
    for kind in (
        SandboxException,
        InvalidArgumentException,
        NotFoundException,
        AlreadyExistsException,
        FailedPreconditionException,
        QuotaException,
        PermissionDeniedException,
        AuthenticationException,
        UnimplementedException,
        UnavailableException,
        TimeoutException,
    )
}
