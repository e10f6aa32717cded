"""The runtime by HTTP/1.1, for a way that carries no gRPC: what its REST face has. Requests and answers are the same
messages; what REST has no word for is refused.
"""

from __future__ import annotations

import http.client
import json
import posixpath
import socket
import ssl
import tempfile
from typing import Any, Callable, Dict, Iterator, List, Optional

import grpc

from .._endpoint import Endpoint
from .._methods import A, Method, Q
from .._proto import files_pb2 as f
from ..exceptions import UnimplementedException
from . import rest
from .edge import RECONNECT_SECONDS, Edge
from .rest import HttpFailure, file_url

_DIAL_SECONDS = 10.0
_CODES = {
    **{name: grpc.StatusCode[name] for name in ("INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED")},
    **{name: grpc.StatusCode[name] for name in ("RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "UNAVAILABLE", "INTERNAL")},
    **{"CONFLICT": grpc.StatusCode.FAILED_PRECONDITION, "DEADLINE_EXCEEDED": grpc.StatusCode.DEADLINE_EXCEEDED},
}


class Connection(http.client.HTTPConnection):
    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        where, port = endpoint.place
        is_name = endpoint.family in ("tcp", "tls")
        super().__init__(where if is_name else "localhost", port if is_name else None, timeout=timeout)
        self._endpoint = endpoint
        self._seconds = timeout

    def connect(self) -> None:
        plain = self._endpoint.dial(min(self._seconds, _DIAL_SECONDS))
        plain.settimeout(self._seconds)
        if self._endpoint.family == "tls":
            plain = _context(self._endpoint).wrap_socket(plain, server_hostname=self._endpoint.place[0])
        self.sock = plain


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=endpoint.ca)
    if endpoint.cert is not None:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(endpoint.cert + "\n" + (endpoint.key or ""))
            file.flush()
            context.load_cert_chain(file.name)
    return context


class _Stream:
    """As gRPC's call: iterated, and cancelled."""

    def __init__(self, answers: Callable[[List[Connection]], Iterator[Any]]) -> None:
        self._connections: List[Connection] = []
        self._answers = answers(self._connections)

    def __iter__(self) -> Iterator[Any]:
        return self._answers

    def result(self) -> Any:
        return next(self._answers)

    def cancel(self) -> None:
        for one in self._connections:
            if one.sock is not None:
                try:
                    one.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class HttpEdge(Edge):
    def __init__(self, endpoint: Endpoint, reconnect_timeout: float = RECONNECT_SECONDS) -> None:
        super().__init__(endpoint, reconnect_timeout)
        self._directories: Dict[str, str] = {}

    def _ask(self, method: Method[Q, A], request: Q, timeout: float) -> A:
        asked = rest.ANSWERS.get(method.path)
        if asked is None:
            raise _not_by_http(method)
        answer: A = asked(self, request, timeout)
        return answer

    def forget(self, method: Method[Q, A], request: Q, timeout: float) -> None:
        """A program of REST's `run` is forgotten by the server."""

    def stream(self, method: Method[Q, A], request: Q, timeout: Optional[float] = None) -> Any:
        asked = rest.STREAMS.get(method.path)
        if asked is None:
            raise _not_by_http(method)
        return _Stream(lambda connections: asked(self, request, timeout, connections))

    def send(self, method: Method[Q, A], requests: Iterator[Q], timeout: Optional[float] = None) -> Any:
        return _Stream(lambda connections: self._written(requests, connections))

    def converse(self, method: Method[Q, A], requests: Iterator[Q]) -> Any:
        raise _not_by_http(method)

    def request(
        self,
        verb: str,
        path: str,
        body: Any = None,
        timeout: Optional[float] = None,
        headers: Optional[Dict[str, str]] = None,
        opened: Optional[List[Connection]] = None,
    ) -> http.client.HTTPResponse:
        """An answer that is none of an error; its body is not read yet."""
        connection = Connection(self.endpoint, timeout or 3600)
        if opened is not None:
            opened.append(connection)
        all_headers = {**({"authorization": f"Bearer {self.endpoint.token}"} if self.endpoint.token else {}), **(headers or {})}
        try:
            connection.connect()
        except OSError as error:
            raise HttpFailure(
                grpc.StatusCode.UNAVAILABLE, f"failed to connect to all addresses: {error.strerror or error}"
            ) from error
        try:
            is_stream = body is not None and not isinstance(body, bytes)
            if is_stream:
                all_headers["transfer-encoding"] = "chunked"
            connection.request(verb, path, body, all_headers, encode_chunked=is_stream)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _refused(answer.status, answer.read())
            return answer
        except socket.timeout as error:
            raise HttpFailure(grpc.StatusCode.DEADLINE_EXCEEDED, "") from error
        except (OSError, http.client.HTTPException) as error:
            raise HttpFailure(grpc.StatusCode.UNAVAILABLE, f"Socket closed: {error}") from error

    def json(self, verb: str, path: str, body: Any = None, timeout: Optional[float] = None) -> Any:
        raw = None if body is None else json.dumps(body).encode()
        answer = self.request(verb, path, raw, timeout, {"content-type": "application/json"})
        text = answer.read()
        return json.loads(text) if text else None

    def relative(self, sandbox_id: str, path: str, user: str) -> str:
        """As `/v1/files` has it: below the sandbox's working directory, by its own user."""
        if user:
            raise UnimplementedException("another user needs another protocol (protocol: grpc)", sandbox_id=sandbox_id)
        base = self.directory(sandbox_id)
        if path.startswith("~") or (path.startswith("/") and posixpath.commonpath([base, path]) != base):
            words = f"{path} is not below {base}, which is all that HTTP reaches (protocol: grpc)"
            raise UnimplementedException(words, stage="files", sandbox_id=sandbox_id)
        return posixpath.relpath(path, base) if path.startswith("/") else path

    def directory(self, sandbox_id: str) -> str:
        if sandbox_id not in self._directories:
            self._directories[sandbox_id] = self.json("GET", f"/v1/sandboxes/{sandbox_id}", timeout=60)["working_dir"] or "/"
        return self._directories[sandbox_id]

    def _written(self, requests: Iterator[Any], connections: List[Connection]) -> Iterator[f.WriteFileResponse]:
        opened = next(requests).open
        path = self.relative(opened.sandbox_id, opened.path, opened.user)

        def body() -> Iterator[bytes]:
            for request in requests:
                if request.WhichOneof("part") == "end":
                    return
                yield request.data
            # The length is unknown to the server: a body that is broken off is not taken for the file.
            raise OSError("the file was not read to its end")

        self.request("PUT", file_url(path), body(), None, {"x-sandbox-id": opened.sandbox_id}, connections).read()
        full = posixpath.join(self.directory(opened.sandbox_id), path)
        yield f.WriteFileResponse(entry=f.FileEntry(name=posixpath.basename(full), path=full, kind=f.FILE_KIND_FILE))


def _not_by_http(method: Method[Any, Any]) -> UnimplementedException:
    return UnimplementedException(f"{method.path.rsplit('/', 1)[1]} has no way by HTTP (protocol: grpc)")


def _refused(status: int, body: bytes) -> HttpFailure:
    try:
        said = json.loads(body)
        return HttpFailure(_CODES.get(said["code"], grpc.StatusCode.UNKNOWN), str(said["message"]))
    except (ValueError, KeyError, TypeError):
        code = grpc.StatusCode.UNAVAILABLE if status in (502, 503, 504) else grpc.StatusCode.UNKNOWN
        return HttpFailure(code, f"HTTP status {status}: {body[:200].decode('utf-8', 'replace')}")
