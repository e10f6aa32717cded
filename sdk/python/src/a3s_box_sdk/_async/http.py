"""The runtime by HTTP/1.1: what the blocking client does of it, in threads."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Callable, Iterator, Optional, TypeVar

import grpc.aio

from .._endpoint import Endpoint
from .._methods import A, Method, Q
from .._sync.edge import RECONNECT_SECONDS
from .._sync.http import HttpEdge
from .._sync.rest import HttpFailure
from .edge import AsyncEdge

T = TypeVar("T")


async def _in_thread(call: Callable[[], T]) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(None, call)
    except HttpFailure as error:
        raise grpc.aio.AioRpcError(error.code(), grpc.aio.Metadata(), grpc.aio.Metadata(), error.details()) from error


class _Call:
    """As gRPC's call: iterated or awaited, and cancelled."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._answers = iter(call)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        answer = await _in_thread(lambda: next(self._answers, None))
        if answer is None:
            raise StopAsyncIteration
        return answer

    def __await__(self) -> Any:
        return self.__anext__().__await__()

    def cancel(self) -> None:
        self._call.cancel()


class AsyncHttpEdge(AsyncEdge):
    def __init__(self, endpoint: Endpoint, reconnect_timeout: float = RECONNECT_SECONDS) -> None:
        super().__init__(endpoint, reconnect_timeout)
        self._http = HttpEdge(endpoint, reconnect_timeout)

    async def _ask(self, method: Method[Q, A], request: Q, timeout: float) -> A:
        return await _in_thread(lambda: self._http._ask(method, request, timeout))

    def forget(self, method: Method[Q, A], request: Q, timeout: float) -> None:
        """A program of REST's `run` is forgotten by the server."""

    def stream(self, method: Method[Q, A], request: Q, timeout: Optional[float] = None) -> Any:
        return _Call(self._http.stream(method, request, timeout))

    def send(self, method: Method[Q, A], requests: AsyncIterator[Q], timeout: Optional[float] = None) -> Any:
        loop = asyncio.get_running_loop()

        def waiting() -> Iterator[Q]:
            while True:
                try:
                    yield asyncio.run_coroutine_threadsafe(_next(requests), loop).result()
                except StopAsyncIteration:
                    return

        return _Call(self._http.send(method, waiting(), timeout))

    def converse(self, method: Method[Q, A], requests: AsyncIterator[Q]) -> Any:
        return self._http.converse(method, iter(()))


async def _next(requests: AsyncIterator[Q]) -> Q:
    return await requests.__anext__()
