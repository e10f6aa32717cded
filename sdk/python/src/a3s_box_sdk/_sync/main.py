"""Sandboxes, for programs that wait."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence, Type, TypeVar

from typing_extensions import Unpack

from .._either import either
from .._host import host_of
from .._messages import create_request, info_of, list_request, metrics_of, milliseconds
from .._methods import CREATE, END, EXTEND, GET, LIST, PAUSE, RESUME, USAGE, About
from .._params import CREATE_SECONDS, REQUEST_SECONDS, ConnectionParams, connection_of
from .._proto import sandboxes_pb2 as s
from ..exceptions import SandboxException, SandboxNotFoundException
from ..models import Mount, SandboxInfo, SandboxMetrics, SandboxQuery, SandboxState
from .agent import Agent
from .commands import Commands, Pty
from .edge import Edge
from .files import Filesystem
from .handle import Processes
from .ports import Ports

S = TypeVar("S", bound="Sandbox")


def _edge(params: ConnectionParams) -> Edge:
    return Edge.open(connection_of(params), params.get("reconnect_timeout"))


def _get(edge: Edge, sandbox_id: str, stage: str, seconds: Optional[float]) -> SandboxInfo:
    request = s.GetSandboxRequest(sandbox_id=sandbox_id)
    return info_of(edge.call(GET, request, About(stage, sandbox_id), seconds or REQUEST_SECONDS).sandbox)


def _kill(edge: Edge, sandbox_id: str, seconds: Optional[float]) -> bool:
    try:
        edge.call(END, s.EndSandboxRequest(sandbox_id=sandbox_id), About("kill", sandbox_id), seconds or REQUEST_SECONDS)
    except SandboxNotFoundException:
        return False
    return True


def _extend(edge: Edge, sandbox_id: str, timeout: float, only_later: bool, seconds: Optional[float]) -> SandboxInfo:
    request = s.ExtendSandboxRequest(sandbox_id=sandbox_id, life_ms=milliseconds(timeout) or 0, only_later=only_later)
    return info_of(edge.call(EXTEND, request, About("set_timeout", sandbox_id), seconds or REQUEST_SECONDS).sandbox)


def _metrics(edge: Edge, sandbox_id: str, seconds: Optional[float]) -> List[SandboxMetrics]:
    request = s.GetSandboxUsageRequest(sandbox_id=sandbox_id)
    return [metrics_of(edge.call(USAGE, request, About("get_metrics", sandbox_id), seconds or REQUEST_SECONDS))]


def _pause(edge: Edge, sandbox_id: str, seconds: Optional[float]) -> bool:
    request = s.PauseSandboxRequest(sandbox_id=sandbox_id)
    edge.call(PAUSE, request, About("pause", sandbox_id), seconds or REQUEST_SECONDS)
    return True


def _resume(edge: Edge, sandbox_id: str, seconds: Optional[float]) -> SandboxInfo:
    request = s.ResumeSandboxRequest(sandbox_id=sandbox_id)
    return info_of(edge.call(RESUME, request, About("resume", sandbox_id), seconds or CREATE_SECONDS).sandbox)


class SandboxPaginator:
    """Pages of a list, newest first. Iterating goes through all of them."""

    def __init__(
        self, edge: Edge, query: Optional[SandboxQuery], limit: Optional[int], token: Optional[str], seconds: Optional[float]
    ) -> None:
        self._edge = edge
        self._query = query
        self._limit = limit
        self._seconds = seconds
        self.next_token = token
        self.has_next = True

    def next_items(self) -> List[SandboxInfo]:
        if not self.has_next:
            raise SandboxException("there are no more pages", stage="Sandbox.list")
        request = list_request(self._query, self._limit, self.next_token)
        answer = self._edge.call(LIST, request, About("Sandbox.list"), self._seconds or REQUEST_SECONDS)
        self.next_token = answer.next_page_token or None
        self.has_next = self.next_token is not None
        return [info_of(one) for one in answer.sandboxes]

    def __iter__(self) -> Iterator[SandboxInfo]:
        while self.has_next:
            yield from self.next_items()


def _connect_to(
    cls: Any, sandbox_id: str, timeout: Optional[float] = None, **opts: Unpack[ConnectionParams]
) -> Sandbox:
    """A sandbox that is there. With `timeout` it lives that many seconds from now on, or longer."""
    one: Sandbox = cls(sandbox_id, _edge(opts), opts.get("domain"), opts.get("request_timeout"))
    return one._connect(timeout, opts.get("request_timeout"))


def _kill_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> bool:
    return _kill(_edge(opts), sandbox_id, opts.get("request_timeout"))


def _info_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> SandboxInfo:
    return _get(_edge(opts), sandbox_id, "get_info", opts.get("request_timeout"))


def _set_timeout_of(cls: Any, sandbox_id: str, timeout: float, **opts: Unpack[ConnectionParams]) -> None:
    _extend(_edge(opts), sandbox_id, timeout, False, opts.get("request_timeout"))


def _metrics_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> List[SandboxMetrics]:
    return _metrics(_edge(opts), sandbox_id, opts.get("request_timeout"))


def _pause_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> bool:
    return _pause(_edge(opts), sandbox_id, opts.get("request_timeout"))


def _resume_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> SandboxInfo:
    return _resume(_edge(opts), sandbox_id, opts.get("request_timeout"))


class Sandbox:
    """A microVM with one container in it. `with Sandbox.create() as sandbox:` ends it at the end of the block."""

    def __init__(self, sandbox_id: str, edge: Edge, domain: Optional[str] = None, request_timeout: Optional[float] = None):
        """By `create` and `connect`."""
        self.sandbox_id = sandbox_id
        self._edge = edge
        self._domain = domain
        seconds = request_timeout or REQUEST_SECONDS
        processes = Processes(edge, sandbox_id, seconds)
        self.commands = Commands(processes)
        self.pty = Pty(processes)
        self.files = Filesystem(edge, sandbox_id, seconds)
        self.ports = Ports(edge, sandbox_id, seconds)
        self.agent = Agent(processes, self.commands, lambda: _get(edge, sandbox_id, "agent.start", seconds))

    @classmethod
    def create(
        cls: Type[S],
        template: Optional[str] = None,
        timeout: Optional[float] = None,
        metadata: Optional[Dict[str, str]] = None,
        envs: Optional[Dict[str, str]] = None,
        secure: Optional[bool] = None,
        allow_internet_access: Optional[bool] = None,
        *,
        cpu_count: Optional[int] = None,
        memory_mb: Optional[int] = None,
        disk_mb: Optional[int] = None,
        user: Optional[str] = None,
        cwd: Optional[str] = None,
        mounts: Optional[Sequence[Mount]] = None,
        network: Optional[str] = None,
        idle_timeout: Optional[float] = None,
        on_timeout: Optional[str] = None,
        ends_with_owner: Optional[bool] = None,
        agent: Optional[str] = None,
        skills: Optional[Sequence[str]] = None,
        **opts: Unpack[ConnectionParams],
    ) -> S:
        """Answers when the sandbox runs. What is not said is the template's, and the server's where that says nothing.

        `template`: a template's name, or an image's reference where the server allows those; "base" unless named.
        `timeout`: seconds to live; `idle_timeout`: seconds without a call, after which it ends. `secure` is taken for the
        sake of E2B's programs, and means nothing: who calls is always known. `agent`: a coding agent of the node's
        configuration; `skills`: directories of the node.
        """
        request = create_request(
            *(template, timeout, metadata, envs, cpu_count, memory_mb, disk_mb, user, cwd, mounts, network),
            *(allow_internet_access, idle_timeout, on_timeout, ends_with_owner, agent, skills),
        )
        edge = _edge(opts)
        seconds = opts.get("request_timeout")
        made = edge.call(CREATE, request, About("Sandbox.create", kind="template"), seconds or CREATE_SECONDS)
        return cls(made.sandbox.id, edge, opts.get("domain"), seconds)

    def _connect(self, timeout: Optional[float] = None, request_timeout: Optional[float] = None) -> Sandbox:
        """That it is there; one that is paused goes on. With `timeout` it lives that many seconds from now on, or longer."""
        found = _get(self._edge, self.sandbox_id, "connect", request_timeout)
        paused = found.state is SandboxState.PAUSED
        if paused:
            _resume(self._edge, self.sandbox_id, request_timeout)
        if timeout is not None:
            _extend(self._edge, self.sandbox_id, timeout, not paused, request_timeout)
        return self

    connect = either(_connect_to, _connect)

    @staticmethod
    def list(
        query: Optional[SandboxQuery] = None,
        limit: Optional[int] = None,
        next_token: Optional[str] = None,
        **opts: Unpack[ConnectionParams],
    ) -> SandboxPaginator:
        return SandboxPaginator(_edge(opts), query, limit, next_token, opts.get("request_timeout"))

    def _kill(self, request_timeout: Optional[float] = None) -> bool:
        """Ends the sandbox with all that is in it. False: it has ended before."""
        return _kill(self._edge, self.sandbox_id, request_timeout)

    kill = either(_kill_of, _kill)

    def _info(self, request_timeout: Optional[float] = None) -> SandboxInfo:
        return _get(self._edge, self.sandbox_id, "get_info", request_timeout)

    get_info = either(_info_of, _info)

    def _set_timeout(self, timeout: float, request_timeout: Optional[float] = None) -> None:
        """Seconds to live from now on: sooner or later than before."""
        _extend(self._edge, self.sandbox_id, timeout, False, request_timeout)

    set_timeout = either(_set_timeout_of, _set_timeout)

    def _metrics(self, request_timeout: Optional[float] = None) -> List[SandboxMetrics]:
        """A list of one, as E2B has it: what it uses now."""
        return _metrics(self._edge, self.sandbox_id, request_timeout)

    get_metrics = either(_metrics_of, _metrics)

    def _pause(self, request_timeout: Optional[float] = None) -> bool:
        """It stands still, in memory, until it is resumed or connected to; its time does not pass meanwhile."""
        return _pause(self._edge, self.sandbox_id, request_timeout)

    pause = either(_pause_of, _pause)

    def _resume(self, request_timeout: Optional[float] = None) -> SandboxInfo:
        return _resume(self._edge, self.sandbox_id, request_timeout)

    resume = either(_resume_of, _resume)

    def is_running(self, request_timeout: Optional[float] = None) -> bool:
        try:
            return _get(self._edge, self.sandbox_id, "is_running", request_timeout).state is SandboxState.RUNNING
        except SandboxNotFoundException:
            return False

    def get_host(self, port: int) -> str:
        """The name by which a port is reached by HTTP through the runtime's own port."""
        return host_of(port, self.sandbox_id, self._edge.endpoint, self._domain)

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
