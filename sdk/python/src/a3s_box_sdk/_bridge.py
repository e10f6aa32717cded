"""A Unix socket of this process whose connections are joined with another kind: for what gRPC can't dial itself."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
import threading
from typing import Callable, Dict, Tuple

from ._endpoint import Endpoint

_DIAL_SECONDS = 10.0
_lock = threading.Lock()
_bridges: Dict[Tuple[int, str], str] = {}


def bridge_to(endpoint: Endpoint) -> str:
    """The path of the socket: one for each address, in a directory that only this user may enter."""
    with _lock:
        known = (os.getpid(), endpoint.address)
        if known not in _bridges:
            _bridges[known] = open_bridge(lambda: endpoint.dial(_DIAL_SECONDS))
        return _bridges[known]


def open_bridge(dial: Callable[[], socket.socket]) -> str:
    directory = tempfile.mkdtemp(prefix="a3s-box-")
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(directory, ignore_errors=True) if os.getpid() == owner else None)
    path = os.path.join(directory, "s")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)
    threading.Thread(target=_accept, args=(listener, dial), daemon=True, name="a3s-box-bridge").start()
    return path


def _accept(listener: socket.socket, dial: Callable[[], socket.socket]) -> None:
    while True:
        inner, _ = listener.accept()
        threading.Thread(target=_join, args=(inner, dial), daemon=True, name="a3s-box-bridge").start()


def _join(inner: socket.socket, dial: Callable[[], socket.socket]) -> None:
    try:
        outer = dial()
    except OSError:
        inner.close()
        return
    outer.settimeout(None)
    other_way = threading.Thread(target=copy, args=(outer, inner), daemon=True, name="a3s-box-bridge")
    other_way.start()
    copy(inner, outer)
    other_way.join()
    inner.close()
    outer.close()


def copy(source: socket.socket, target: socket.socket) -> None:
    """To the end of what comes, which is told on."""
    try:
        while True:
            data = source.recv(64 * 1024)
            if not data:
                break
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
