"""What comes of files over time: their bytes, and what changes in a directory."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Callable, Deque, Iterator, List, Optional

import grpc

from .._failures import Failure, Fate, Patience, exception_of, failure_of, late
from .._files import Reading
from .._messages import CHANGES
from .._methods import READ, About
from ..exceptions import SandboxException, UnavailableException
from ..models import EntryInfo, FilesystemEvent
from .edge import Edge, Idle

MOST_EVENTS = 100_000


class FileStreamReader(Iterator[bytes]):
    """A file's bytes as they come. `close` ends it early."""

    def __init__(self, edge: Edge, reading: Reading, about: About, idle_timeout: float) -> None:
        self._edge = edge
        self._reading = reading
        self._about = about
        self._seconds = idle_timeout
        self._call: Any = None
        self._parts = self._read()
        # What can't be read fails here, not at the first part.
        self._first: Optional[bytes] = next(self._parts, None)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        first, self._first = self._first, None
        return first or next(self._parts)

    def __enter__(self) -> FileStreamReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._parts.close()

    def _read(self) -> Any:
        patience = Patience(self._edge.reconnect_timeout)
        while True:
            call = self._edge.stream(READ, self._reading.request())
            idle = Idle(self._seconds, call.cancel)
            try:
                for answer in call:
                    idle.hold()
                    self._edge.heard()
                    patience.renew()
                    yield self._reading.take(answer)
                    idle.moved()
                return
            except grpc.RpcError as error:
                if idle.is_over:
                    raise late(self._about, self._seconds) from error
                failure = failure_of(error)
                if failure.fate is Fate.ANSWERED or not self._edge.waits(failure, patience):
                    raise self._edge.explained(failure, self._about) from error
            finally:
                idle.stop()
                call.cancel()


class WatchHandle:
    """What changes in a directory, from the moment of `watch_dir` on."""

    def __init__(self, edge: Edge, call: Any, about: About, look: Optional[Callable[[str], Optional[EntryInfo]]]) -> None:
        """`look`: what is there by a name that an event has."""
        self._edge = edge
        self._call = call
        self._about = about
        self._look = look
        self._events: Deque[FilesystemEvent] = deque()
        self._is_new = threading.Condition()
        self._failure: Optional[SandboxException] = None
        self._is_stopped = False
        threading.Thread(target=self._read, daemon=True, name="a3s-box-watch").start()

    def _read(self) -> None:
        failure = SandboxException("the watch has ended", stage=self._about.stage, sandbox_id=self._about.sandbox_id)
        try:
            for answer in self._call:
                change = CHANGES.get(answer.changed.change)
                if answer.WhichOneof("event") != "changed" or change is None:
                    continue
                with self._is_new:
                    if len(self._events) >= MOST_EVENTS:
                        raise OverflowError
                    self._events.append(FilesystemEvent(answer.changed.path, change))
                    self._is_new.notify_all()
        except OverflowError:
            self._call.cancel()
            words = f"{MOST_EVENTS} events were not asked for in time (look at the directory, and watch it again)"
            failure = UnavailableException(words, stage=self._about.stage, sandbox_id=self._about.sandbox_id)
        except grpc.RpcError as error:
            if not self._is_stopped:
                failure = missed(failure_of(error), self._about, self._edge)
        with self._is_new:
            self._failure = failure
            self._is_new.notify_all()

    def get_new_events(self, request_timeout: Optional[float] = None) -> List[FilesystemEvent]:
        """What has come since the last call; it does not wait."""
        with self._is_new:
            return self._taken()

    def __iter__(self) -> Iterator[FilesystemEvent]:
        """Events as they come, until `stop`."""
        while True:
            with self._is_new:
                while not self._events and self._failure is None and not self._is_stopped:
                    self._is_new.wait()
                if self._is_stopped:
                    return
                events = self._taken()
            yield from events

    def _taken(self) -> List[FilesystemEvent]:
        if self._is_stopped:
            raise SandboxException("the watch is stopped", stage=self._about.stage, sandbox_id=self._about.sandbox_id)
        if not self._events and self._failure is not None:
            raise self._failure
        events = list(self._events)
        self._events.clear()
        if self._look is not None:
            for event in events:
                event.entry = self._look(event.name)
        return events

    def stop(self, request_timeout: Optional[float] = None) -> None:
        self._is_stopped = True
        self._call.cancel()
        with self._is_new:
            self._is_new.notify_all()


def missed(failure: Failure, about: About, edge: Edge) -> SandboxException:
    if failure.fate is Fate.ANSWERED:
        return edge.explained(failure, about)
    words = f"{exception_of(failure, About(''), edge.endpoint)}; events may have been missed"
    return UnavailableException(
        f"{words} (look at the directory, and watch it again)", stage=about.stage, sandbox_id=about.sandbox_id
    )
