"""The runtime as the blocking client sees it: calls and streams, errors as this package's."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Callable, Dict, Iterator, Optional, Set, Tuple, Union

import grpc

from .._channel import credentials_of, metadata_of, options_of, target_of
from .._endpoint import ConnectionOptions, Endpoint, find
from .._failures import Failure, Fate, Patience, exception_of, failure_of, late
from .._methods import GET, About, A, Method, Q
from .._proto import sandboxes_pb2 as s
from ..exceptions import SandboxException

RECONNECT_SECONDS = 30.0

_lock = threading.Lock()
_channels: Dict[Tuple[int, Endpoint], grpc.Channel] = {}


def _channel(endpoint: Endpoint) -> grpc.Channel:
    """One for each address in a process: sandboxes share it. A forked process makes its own."""
    with _lock:
        known = (os.getpid(), endpoint)
        if known not in _channels:
            target, options, credentials = target_of(endpoint), options_of(endpoint), credentials_of(endpoint)
            _channels[known] = (
                grpc.insecure_channel(target, options)
                if credentials is None
                else grpc.secure_channel(target, credentials, options)
            )
        return _channels[known]


class Edge:
    def __init__(self, endpoint: Endpoint, reconnect_timeout: float = RECONNECT_SECONDS) -> None:
        self.endpoint = endpoint
        self.reconnect_timeout = reconnect_timeout
        self._metadata: Tuple[Tuple[str, Union[str, bytes]], ...] = metadata_of(endpoint)
        self._was_connected = False
        self._unwatched: Set[Any] = set()

    @staticmethod
    def open(options: ConnectionOptions, reconnect_timeout: Optional[float] = None) -> Edge:
        wait = RECONNECT_SECONDS if reconnect_timeout is None else reconnect_timeout
        endpoint = find(options)
        if endpoint.protocol == "http":
            from .http import HttpEdge

            return HttpEdge(endpoint, wait)
        return Edge(endpoint, wait)

    def call(self, method: Method[Q, A], request: Q, about: About, timeout: float) -> A:
        """Asked again, where that does nothing twice, until a server that has gone is back, or the time is over."""
        end = time.monotonic() + timeout
        patience = Patience(self.reconnect_timeout)
        while True:
            try:
                answer = self._ask(method, request, max(end - time.monotonic(), 0.001))
                self._was_connected = True
                return answer
            except grpc.RpcError as error:
                failure = failure_of(error)
                pause = self._pause(failure, patience, method.repeats)
                if pause is None or time.monotonic() + pause >= end:
                    raise self.explained(failure, about, timeout) from error
            time.sleep(pause)

    def _ask(self, method: Method[Q, A], request: Q, timeout: float) -> A:
        ask = _channel(self.endpoint).unary_unary(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.answer.FromString
        )
        return ask(request, timeout=timeout, metadata=self._metadata)

    def forget(self, method: Method[Q, A], request: Q, timeout: float) -> None:
        """Asks, and does not wait for the answer."""
        ask = _channel(self.endpoint).unary_unary(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.answer.FromString
        )
        call = ask.future(request, timeout=timeout, metadata=self._metadata)
        self._unwatched.add(call)  # one that is nobody's is cancelled when it is collected
        call.add_done_callback(self._unwatched.discard)

    def _pause(self, failure: Failure, patience: Patience, repeats: bool) -> Optional[float]:
        if failure.fate is Fate.ANSWERED:
            self._was_connected = True
            return None
        if not self._was_connected or (failure.fate is Fate.DROPPED and not repeats):
            return None
        return patience.next_pause()

    def stream(self, method: Method[Q, A], request: Q, timeout: Optional[float] = None) -> Any:
        """gRPC's own call: an iterator that can be cancelled. What it raises is for `lost`."""
        ask = _channel(self.endpoint).unary_stream(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.answer.FromString
        )
        return ask(request, timeout=timeout, metadata=self._metadata)

    def send(self, method: Method[Q, A], requests: Iterator[Q], timeout: Optional[float] = None) -> Any:
        """gRPC's own call: `result()` is the answer."""
        ask = _channel(self.endpoint).stream_unary(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.answer.FromString
        )
        return ask.future(requests, timeout=timeout, metadata=self._metadata)

    def converse(self, method: Method[Q, A], requests: Iterator[Q]) -> Any:
        ask = _channel(self.endpoint).stream_stream(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.answer.FromString
        )
        return ask(requests, metadata=self._metadata)

    def heard(self) -> None:
        """A stream has brought something: there is a server."""
        self._was_connected = True

    def waits(self, failure: Failure, patience: Patience) -> bool:
        """After a lost stream: waits a moment for the server; False when nobody should wait any more."""
        pause = self._pause(failure, patience, True)
        if pause is None:
            return False
        time.sleep(pause)
        return True

    def explained(self, failure: Failure, about: About, timeout: Optional[float] = None) -> SandboxException:
        if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED and failure.words in ("Deadline Exceeded", ""):
            return late(about, timeout or 0)
        is_gone = failure.code is grpc.StatusCode.NOT_FOUND and about.kind in ("process", "program", "file")
        return exception_of(failure, about, self.endpoint, is_gone and self._is_gone(about.sandbox_id))

    def _is_gone(self, sandbox_id: Optional[str]) -> bool:
        try:
            self._ask(GET, s.GetSandboxRequest(sandbox_id=sandbox_id or ""), 10)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.NOT_FOUND)
        return False


class Idle:
    """Cancels a call in which nothing has moved for so long. `is_over`: it has done so. Time that the app takes between two
    parts (`hold`) does not count.
    """

    def __init__(self, seconds: float, cancel: Callable[[], object]) -> None:
        self.is_over = False
        self._seconds = seconds
        self._cancel = cancel
        self._moved = time.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="a3s-box-idle").start()

    def moved(self) -> None:
        self._moved = time.monotonic()

    def hold(self) -> None:
        self._moved = float("inf")

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while True:
            left = self._moved + self._seconds - time.monotonic()
            if left <= 0:
                self.is_over = True
                self._cancel()
                return
            if self._stopped.wait(min(left, self._seconds)):
                return


