"""From gRPC's failures to this package's, for both clients. gRPC's words stop here."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from enum import Enum
from typing import Optional, Type, Union

import grpc
import grpc.aio

from . import exceptions as e
from ._endpoint import WHAT_TO_DO, Endpoint
from ._methods import About

RpcError = Union[grpc.RpcError, grpc.aio.AioRpcError]


class Fate(Enum):
    ANSWERED = "the server has said so"
    UNSENT = "no connection came about: nothing was asked"
    DROPPED = "the connection went while it was asked, or before the answer"


@dataclass(frozen=True)
class Failure:
    code: grpc.StatusCode
    words: str
    fate: Fate


# What gRPC says where a connection, not the server, has failed. A status of the server comes with words of its own.
_UNSENT = ("failed to connect to all addresses", "errors resolving", "DNS resolution failed")
_DROPPED = (
    *("Socket closed", "Stream removed", "RST_STREAM", "GOAWAY", "Connection reset", "Broken pipe"),
    *("recvmsg:", "sendmsg:", "End of TCP stream", "keepalive watchdog", "ping timeout", "Endpoint closing", "FD shutdown"),
    *("Connection dropped", "Connection closed", "transport is closing", "Transport closed", "Cancelling all calls"),
)


def failure_of(error: RpcError) -> Failure:
    code = error.code()
    words = error.details() or ""
    maybe_connection = code in (
        *(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED),
    )
    if maybe_connection and any(text in words for text in _UNSENT):
        return Failure(code, words, Fate.UNSENT)
    if maybe_connection and any(text in words for text in _DROPPED):
        return Failure(code, words, Fate.DROPPED)
    return Failure(code, words, Fate.ANSWERED)


_CLASSES = {
    grpc.StatusCode.INVALID_ARGUMENT: e.InvalidArgumentException,
    grpc.StatusCode.OUT_OF_RANGE: e.InvalidArgumentException,
    grpc.StatusCode.NOT_FOUND: e.NotFoundException,
    grpc.StatusCode.ALREADY_EXISTS: e.AlreadyExistsException,
    grpc.StatusCode.FAILED_PRECONDITION: e.FailedPreconditionException,
    grpc.StatusCode.RESOURCE_EXHAUSTED: e.QuotaException,
    grpc.StatusCode.PERMISSION_DENIED: e.PermissionDeniedException,
    grpc.StatusCode.UNAUTHENTICATED: e.AuthenticationException,
    grpc.StatusCode.UNIMPLEMENTED: e.UnimplementedException,
    grpc.StatusCode.UNAVAILABLE: e.UnavailableException,
    grpc.StatusCode.DEADLINE_EXCEEDED: e.TimeoutException,
}


def exception_of(failure: Failure, about: About, endpoint: Endpoint, is_gone: bool = False) -> e.SandboxException:
    """`is_gone`: NOT_FOUND, and the sandbox itself is not there any more."""
    kind: Type[e.SandboxException] = _CLASSES.get(failure.code, e.SandboxException)
    words = failure.words
    if failure.fate is not Fate.ANSWERED:
        kind = e.UnavailableException
        unsent, dropped = "nobody serves sandboxes at", "what was asked may have been done: the connection was lost to"
        words = f"{unsent if failure.fate is Fate.UNSENT else dropped} {endpoint.address}: {words} ({WHAT_TO_DO})"
    elif kind is e.NotFoundException:
        kind = e.SandboxNotFoundException if is_gone else _MISSING.get(about.kind, e.NotFoundException)
    elif kind is e.QuotaException and about.kind == "file":
        kind = e.NotEnoughSpaceException
    elif kind is e.AuthenticationException and endpoint.token is None:
        words = f"{words} (give a token, or set A3S_BOX_TOKEN)"
    return kind(words, stage=about.stage, sandbox_id=about.sandbox_id)


_MISSING = {
    "sandbox": e.SandboxNotFoundException,
    "process": e.ProcessNotFoundException,
    "file": e.FileNotFoundException,
    "port": e.SandboxNotFoundException,
}


def late(about: About, seconds: float) -> e.TimeoutException:
    words = f"no answer within {seconds:g} s (a longer request_timeout gives it more)"
    return e.TimeoutException(words, stage=about.stage, sandbox_id=about.sandbox_id)


class Patience:
    """How long whoever was connected waits for a server that has gone, and how often it is asked."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end: Optional[float] = None
        self._pause = 0.1

    def renew(self) -> None:
        self._end = None
        self._pause = 0.1

    def next_pause(self) -> Optional[float]:
        """None when it is over."""
        now = time.monotonic()
        if self._end is None:
            self._end = now + self._seconds
        if now >= self._end:
            return None
        pause = min(self._pause * random.uniform(0.8, 1.2), self._end - now)
        self._pause = min(self._pause * 2, 1.0)
        return pause
