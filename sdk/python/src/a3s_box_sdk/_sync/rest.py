"""Messages of sandboxes.v1 as the REST face has them, and its answers as messages."""

from __future__ import annotations

import http.client
import json
import posixpath
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple
from urllib.parse import quote, urlencode

import grpc
from typing_extensions import Protocol

from .. import _methods as m
from .._messages import STATE_NAMES
from .._proto import files_pb2 as f
from .._proto import processes_pb2 as p
from .._proto import sandboxes_pb2 as s
from ..exceptions import UnimplementedException

_PART_BYTES = 64 * 1024


class HttpFailure(grpc.RpcError):
    """A failure in the words that the rest of the client knows."""

    def __init__(self, code: grpc.StatusCode, words: str) -> None:
        super().__init__(words)
        self._code = code
        self._words = words

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._words


class RestEdge(Protocol):
    """What is needed of an edge to ask by HTTP."""

    def request(
        self,
        verb: str,
        path: str,
        body: Any = None,
        timeout: Optional[float] = None,
        headers: Optional[Dict[str, str]] = None,
        opened: Optional[List[Any]] = None,
    ) -> http.client.HTTPResponse: ...

    def json(self, verb: str, path: str, body: Any = None, timeout: Optional[float] = None) -> Any: ...

    def relative(self, sandbox_id: str, path: str, user: str) -> str: ...

    def directory(self, sandbox_id: str) -> str: ...


def file_url(path: str) -> str:
    return f"/v1/files/{quote(path, safe='')}"


def _stamp(text: Optional[str]) -> Tuple[int, int]:
    if not text:
        return 0, 0
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(at.timestamp()), at.microsecond * 1000


def _sandbox(said: Dict[str, Any]) -> s.Sandbox:
    names = {state.value: number for number, state in STATE_NAMES.items()}
    message = s.Sandbox(
        **{name: said[name] for name in ("id", "tenant", "template", "image", "vcpus", "memory_mib", "disk_mib")},
        **{name: said[name] for name in ("env", "user", "working_dir", "mounts", "metadata", "ends_with_owner")},
        **{name: said[name] for name in ("pod_id", "container_id")},
        state=names.get(said["state"], s.SANDBOX_STATE_UNSPECIFIED),
        network=s.NETWORK_NONE if said["network"] == "none" else s.NETWORK_POD,
        at_end=s.AT_END_PAUSE if said["at_end"] == "pause" else s.AT_END_END,
        command=said.get("command", []),
    )
    message.started_at.seconds, message.started_at.nanos = _stamp(said["started_at"])
    if said["ends_at"]:
        message.ends_at.seconds, message.ends_at.nanos = _stamp(said["ends_at"])
    return message


def _create(edge: RestEdge, asked: s.CreateSandboxRequest, timeout: float) -> s.CreateSandboxResponse:
    body: Dict[str, Any] = {"template": asked.template, "env": dict(asked.env), "metadata": dict(asked.metadata)}
    body["mounts"] = [{"host_path": one.host_path, "path": one.path, "readonly": one.readonly} for one in asked.mounts]
    for name in ("vcpus", "memory_mib", "disk_mib", "user", "working_dir", "life_ms", "idle_ms", "ends_with_owner"):
        if asked.HasField(name):
            body[name] = getattr(asked, name)
    if asked.network:
        body["network"] = "none" if asked.network == s.NETWORK_NONE else "pod"
    if asked.at_end:
        body["at_end"] = "pause" if asked.at_end == s.AT_END_PAUSE else "end"
    return s.CreateSandboxResponse(sandbox=_sandbox(edge.json("POST", "/v1/sandboxes", body, timeout)))


def _get(edge: RestEdge, asked: s.GetSandboxRequest, timeout: float) -> s.GetSandboxResponse:
    return s.GetSandboxResponse(sandbox=_sandbox(edge.json("GET", f"/v1/sandboxes/{asked.sandbox_id}", None, timeout)))


def _list(edge: RestEdge, asked: s.ListSandboxesRequest, timeout: float) -> s.ListSandboxesResponse:
    if asked.HasField("started_after"):
        raise UnimplementedException("started_after needs another protocol (protocol: grpc)")
    query = {f"metadata.{name}": value for name, value in asked.metadata.items()}
    states = ",".join(STATE_NAMES[state].value for state in asked.states)
    more = {"state": states, "template": asked.template, "page_size": asked.page_size, "page_token": asked.page_token}
    query.update({name: str(value) for name, value in more.items() if value})
    said = edge.json("GET", f"/v1/sandboxes?{urlencode(query)}", None, timeout)
    return s.ListSandboxesResponse(
        sandboxes=[_sandbox(one) for one in said["sandboxes"]], next_page_token=said.get("next_page_token", "")
    )


def _extend(edge: RestEdge, asked: s.ExtendSandboxRequest, timeout: float) -> s.ExtendSandboxResponse:
    body = {"life_ms": asked.life_ms, "only_later": asked.only_later}
    said = edge.json("POST", f"/v1/sandboxes/{asked.sandbox_id}/extend", body, timeout)
    return s.ExtendSandboxResponse(sandbox=_sandbox(said))


def _pause(edge: RestEdge, asked: s.PauseSandboxRequest, timeout: float) -> s.PauseSandboxResponse:
    edge.json("POST", f"/v1/sandboxes/{asked.sandbox_id}/pause", {}, timeout)
    return s.PauseSandboxResponse()


def _resume(edge: RestEdge, asked: s.ResumeSandboxRequest, timeout: float) -> s.ResumeSandboxResponse:
    said = edge.json("POST", f"/v1/sandboxes/{asked.sandbox_id}/resume", {}, timeout)
    return s.ResumeSandboxResponse(sandbox=_sandbox(said))


def _end(edge: RestEdge, asked: s.EndSandboxRequest, timeout: float) -> s.EndSandboxResponse:
    edge.json("DELETE", f"/v1/sandboxes/{asked.sandbox_id}", None, timeout)
    return s.EndSandboxResponse()


def _run(
    edge: RestEdge, asked: p.RunProcessRequest, timeout: Optional[float], connections: List[Any]
) -> Iterator[p.RunProcessResponse]:
    start = asked.start
    if start.HasField("terminal") or start.stdin:
        raise UnimplementedException("terminals and input need another protocol (protocol: grpc)", sandbox_id=start.sandbox_id)
    body = {"args": list(start.args), "env": dict(start.env), "working_dir": start.working_dir, "user": start.user}
    raw = json.dumps({**body, "limit_ms": start.limit_ms}).encode()
    headers = {"content-type": "application/json"}
    said = json.loads(
        edge.request("POST", f"/v1/sandboxes/{start.sandbox_id}/run", raw, timeout, headers, connections).read()
    )
    # Its number is not told; nothing is asked about it any more.
    yield p.RunProcessResponse(event=p.ProcessEvent(process=p.Process(id=2**32 - 1, args=start.args)))
    for stream, text in ((p.OUTPUT_STREAM_STDOUT, said["stdout"]), (p.OUTPUT_STREAM_STDERR, said["stderr"])):
        yield p.RunProcessResponse(event=p.ProcessEvent(output=p.ProcessOutput(stream=stream, data=text.encode())))
    ended = p.ProcessExit(code=said["exit_code"], signal=said["signal"], timed_out=said["timed_out"])
    yield p.RunProcessResponse(event=p.ProcessEvent(exit=ended))


def _entries(edge: RestEdge, sandbox_id: str, path: str, timeout: float) -> List[f.FileEntry]:
    answer = edge.request("GET", file_url(path), None, timeout, {"x-sandbox-id": sandbox_id})
    if answer.getheader("content-type", "").startswith("application/octet-stream"):
        raise HttpFailure(grpc.StatusCode.INVALID_ARGUMENT, f"{path} is not a directory")
    base = posixpath.normpath(posixpath.join(edge.directory(sandbox_id), path))
    found = []
    for one in json.loads(answer.read())["entries"]:
        kind = f.FILE_KIND_DIRECTORY if one["type"] == "directory" else f.FILE_KIND_FILE
        entry = f.FileEntry(name=one["name"], path=posixpath.join(base, one["name"]), kind=kind, size_bytes=one["size"])
        entry.mode = int(one["mode"], 8)
        entry.modified_at.seconds, entry.modified_at.nanos = _stamp(one["modified_at"])
        found.append(entry)
    return found


def _list_files(edge: RestEdge, asked: f.ListFilesRequest, timeout: float) -> f.ListFilesResponse:
    if asked.depth > 1:
        raise UnimplementedException("depth needs another protocol (protocol: grpc)", sandbox_id=asked.sandbox_id)
    path = edge.relative(asked.sandbox_id, asked.path, asked.user)
    return f.ListFilesResponse(entries=_entries(edge, asked.sandbox_id, path, timeout))


def _stat(edge: RestEdge, asked: f.StatFileRequest, timeout: float) -> f.StatFileResponse:
    path = posixpath.normpath(edge.relative(asked.sandbox_id, asked.path, asked.user))
    if path == ".":
        base = edge.directory(asked.sandbox_id)
        root = f.FileEntry(name=posixpath.basename(base), path=base, kind=f.FILE_KIND_DIRECTORY)
        return f.StatFileResponse(entry=root)
    for entry in _entries(edge, asked.sandbox_id, posixpath.dirname(path) or ".", timeout):
        if entry.name == posixpath.basename(path):
            return f.StatFileResponse(entry=entry)
    raise HttpFailure(grpc.StatusCode.NOT_FOUND, f"there is no {asked.path}")


def _remove(edge: RestEdge, asked: f.RemoveFileRequest, timeout: float) -> f.RemoveFileResponse:
    path = edge.relative(asked.sandbox_id, asked.path, asked.user)
    query = "?recursive=true" if asked.recursive else ""
    edge.request("DELETE", file_url(path) + query, None, timeout, {"x-sandbox-id": asked.sandbox_id}).read()
    return f.RemoveFileResponse()


def _read(
    edge: RestEdge, asked: f.ReadFileRequest, timeout: Optional[float], connections: List[Any]
) -> Iterator[f.ReadFileResponse]:
    path = edge.relative(asked.sandbox_id, asked.path, asked.user)
    headers = {"x-sandbox-id": asked.sandbox_id, **({"range": f"bytes={asked.offset}-"} if asked.offset else {})}
    answer = edge.request("GET", file_url(path), None, timeout, headers, connections)
    if not answer.getheader("content-type", "").startswith("application/octet-stream"):
        raise HttpFailure(grpc.StatusCode.INVALID_ARGUMENT, f"{asked.path} is a directory")
    size = int((answer.getheader("content-range") or "").rpartition("/")[2] or answer.getheader("content-length") or 0)
    entry = f.FileEntry(name=posixpath.basename(path), kind=f.FILE_KIND_FILE, size_bytes=size)
    changed = answer.getheader("last-modified")
    if changed:
        entry.modified_at.seconds = int(parsedate_to_datetime(changed).astimezone(timezone.utc).timestamp())
    yield f.ReadFileResponse(entry=entry)
    left = size - asked.offset
    while left > 0:
        try:
            data = answer.read(min(_PART_BYTES, left))
        except (OSError, http.client.HTTPException) as error:
            raise HttpFailure(grpc.StatusCode.UNAVAILABLE, f"Socket closed: {error}") from error
        if not data:
            raise HttpFailure(grpc.StatusCode.UNAVAILABLE, "Socket closed in the middle of the file")
        left -= len(data)
        yield f.ReadFileResponse(data=data)


ANSWERS: Dict[str, Callable[[RestEdge, Any, float], Any]] = {
    **{m.CREATE.path: _create, m.GET.path: _get, m.LIST.path: _list, m.EXTEND.path: _extend, m.END.path: _end},
    **{m.PAUSE.path: _pause, m.RESUME.path: _resume},
    **{m.STAT.path: _stat, m.LIST_FILES.path: _list_files, m.REMOVE.path: _remove},
}
STREAMS: Dict[str, Callable[[RestEdge, Any, Optional[float], List[Any]], Iterator[Any]]] = {
    **{m.RUN.path: _run, m.READ.path: _read},
}
