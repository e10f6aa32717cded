"""The runtime as the asyncio client sees it: calls and streams, errors as this package's."""

from __future__ import annotations

import asyncio
import time
from typing import Any, AsyncIterator, Callable, Dict, Optional, Set, TypeVar, cast
from weakref import WeakKeyDictionary

import grpc
import grpc.aio

from .._channel import credentials_of, metadata_of, options_of, target_of
from .._endpoint import ConnectionOptions, Endpoint, find
from .._failures import Failure, Fate, Patience, exception_of, failure_of, late
from .._methods import GET, About, A, Method, Q
from .._proto import sandboxes_pb2 as s
from .._sync.edge import RECONNECT_SECONDS
from ..exceptions import SandboxException

T = TypeVar("T")

_channels: WeakKeyDictionary[asyncio.AbstractEventLoop, Dict[Endpoint, grpc.aio.Channel]] = WeakKeyDictionary()


def _channel(endpoint: Endpoint) -> grpc.aio.Channel:
    """One for each address in an event loop: sandboxes share it."""
    known = _channels.setdefault(asyncio.get_running_loop(), {})
    if endpoint not in known:
        target, options, credentials = target_of(endpoint), options_of(endpoint), credentials_of(endpoint)
        known[endpoint] = (
            grpc.aio.insecure_channel(target, options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options)
        )
    return known[endpoint]


class AsyncEdge:
    def __init__(self, endpoint: Endpoint, reconnect_timeout: float = RECONNECT_SECONDS) -> None:
        self.endpoint = endpoint
        self.reconnect_timeout = reconnect_timeout
        self._metadata = grpc.aio.Metadata(*metadata_of(endpoint))
        self._was_connected = False
        self._unwatched: Set[asyncio.Task[None]] = set()

    @staticmethod
    async def open(options: ConnectionOptions, reconnect_timeout: Optional[float] = None) -> AsyncEdge:
        wait = RECONNECT_SECONDS if reconnect_timeout is None else reconnect_timeout
        endpoint = await asyncio.get_running_loop().run_in_executor(None, find, options)
        if endpoint.protocol == "http":
            from .http import AsyncHttpEdge

            return AsyncHttpEdge(endpoint, wait)
        return AsyncEdge(endpoint, wait)

    async def call(self, method: Method[Q, A], request: Q, about: About, timeout: float) -> A:
        """Asked again, where that does nothing twice, until a server that has gone is back, or the time is over."""
        end = time.monotonic() + timeout
        patience = Patience(self.reconnect_timeout)
        while True:
            try:
                answer = await self._ask(method, request, max(end - time.monotonic(), 0.001))
                self._was_connected = True
                return answer
            except grpc.aio.AioRpcError as error:
                failure = failure_of(error)
                pause = self._pause(failure, patience, method.repeats)
                if pause is None or time.monotonic() + pause >= end:
                    raise await self.explained(failure, about, timeout) from error
            await asyncio.sleep(pause)

    async def _ask(self, method: Method[Q, A], request: Q, timeout: float) -> A:
        ask: Any = _channel(self.endpoint).unary_unary(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.answer.FromString
        )
        return cast(A, await ask(request, timeout=timeout, metadata=self._metadata))

    def forget(self, method: Method[Q, A], request: Q, timeout: float) -> None:
        """Asks, and does not wait for the answer."""

        async def ask() -> None:
            try:
                await self._ask(method, request, timeout)
            except grpc.aio.AioRpcError:
                pass

        task = asyncio.create_task(ask())
        self._unwatched.add(task)
        task.add_done_callback(self._unwatched.discard)

    def _pause(self, failure: Failure, patience: Patience, repeats: bool) -> Optional[float]:
        if failure.fate is Fate.ANSWERED:
            self._was_connected = True
            return None
        if not self._was_connected or (failure.fate is Fate.DROPPED and not repeats):
            return None
        return patience.next_pause()

    def stream(self, method: Method[Q, A], request: Q, timeout: Optional[float] = None) -> Any:
        """gRPC's own call: an asynchronous iterator that can be cancelled."""
        ask: Any = _channel(self.endpoint).unary_stream(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.answer.FromString
        )
        return ask(request, timeout=timeout, metadata=self._metadata)

    def send(self, method: Method[Q, A], requests: AsyncIterator[Q], timeout: Optional[float] = None) -> Any:
        """gRPC's own call: awaiting it is the answer."""
        ask: Any = _channel(self.endpoint).stream_unary(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.answer.FromString
        )
        return ask(requests, timeout=timeout, metadata=self._metadata)

    def converse(self, method: Method[Q, A], requests: AsyncIterator[Q]) -> Any:
        ask: Any = _channel(self.endpoint).stream_stream(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.answer.FromString
        )
        return ask(requests, metadata=self._metadata)

    def heard(self) -> None:
        """A stream has brought something: there is a server."""
        self._was_connected = True

    async def waits(self, failure: Failure, patience: Patience) -> bool:
        """After a lost stream: waits a moment for the server; False when nobody should wait any more."""
        pause = self._pause(failure, patience, True)
        if pause is None:
            return False
        await asyncio.sleep(pause)
        return True

    async def explained(self, failure: Failure, about: About, timeout: Optional[float] = None) -> SandboxException:
        if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED and failure.words in ("Deadline Exceeded", ""):
            return late(about, timeout or 0)
        is_gone = failure.code is grpc.StatusCode.NOT_FOUND and about.kind in ("process", "program", "file")
        return exception_of(failure, about, self.endpoint, is_gone and await self._is_gone(about.sandbox_id))

    async def _is_gone(self, sandbox_id: Optional[str]) -> bool:
        try:
            await self._ask(GET, s.GetSandboxRequest(sandbox_id=sandbox_id or ""), 10)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.NOT_FOUND
        return False


class AsyncIdle:
    """Cancels a call in which nothing has moved for so long. `is_over`: it has done so. Time that the app takes between two
    parts (`hold`) does not count.
    """

    def __init__(self, seconds: float, cancel: Callable[[], object]) -> None:
        self.is_over = False
        self._seconds = seconds
        self._cancel = cancel
        self._moved = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def moved(self) -> None:
        self._moved = time.monotonic()

    def hold(self) -> None:
        self._moved = float("inf")

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        left = self._moved + self._seconds - time.monotonic()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(min(left, self._seconds), self._look)
            return
        self.is_over = True
        self._cancel()
