"""Sandboxes, for asyncio."""

from __future__ import annotations

from typing import Any, AsyncIterator, Dict, List, Optional, Sequence, Type, TypeVar

from typing_extensions import Unpack

from .._either import either
from .._host import host_of
from .._messages import create_request, info_of, list_request, metrics_of, milliseconds
from .._methods import CREATE, END, EXTEND, GET, LIST, PAUSE, RESUME, USAGE, About
from .._params import CREATE_SECONDS, REQUEST_SECONDS, ConnectionParams, connection_of
from .._proto import sandboxes_pb2 as s
from ..exceptions import SandboxException, SandboxNotFoundException
from ..models import Mount, SandboxInfo, SandboxMetrics, SandboxQuery, SandboxState
from .agent import AsyncAgent
from .commands import AsyncCommands, AsyncPty
from .edge import AsyncEdge
from .files import AsyncFilesystem
from .handle import AsyncProcesses
from .ports import AsyncPorts

S = TypeVar("S", bound="AsyncSandbox")


async def _edge(params: ConnectionParams) -> AsyncEdge:
    return await AsyncEdge.open(connection_of(params), params.get("reconnect_timeout"))


async def _get(edge: AsyncEdge, sandbox_id: str, stage: str, seconds: Optional[float]) -> SandboxInfo:
    request = s.GetSandboxRequest(sandbox_id=sandbox_id)
    return info_of((await edge.call(GET, request, About(stage, sandbox_id), seconds or REQUEST_SECONDS)).sandbox)


async def _kill(edge: AsyncEdge, sandbox_id: str, seconds: Optional[float]) -> bool:
    try:
        await edge.call(END, s.EndSandboxRequest(sandbox_id=sandbox_id), About("kill", sandbox_id), seconds or REQUEST_SECONDS)
    except SandboxNotFoundException:
        return False
    return True


async def _extend(edge: AsyncEdge, sandbox_id: str, timeout: float, only_later: bool, seconds: Optional[float]) -> SandboxInfo:
    request = s.ExtendSandboxRequest(sandbox_id=sandbox_id, life_ms=milliseconds(timeout) or 0, only_later=only_later)
    return info_of((await edge.call(EXTEND, request, About("set_timeout", sandbox_id), seconds or REQUEST_SECONDS)).sandbox)


async def _metrics(edge: AsyncEdge, sandbox_id: str, seconds: Optional[float]) -> List[SandboxMetrics]:
    request = s.GetSandboxUsageRequest(sandbox_id=sandbox_id)
    return [metrics_of(await edge.call(USAGE, request, About("get_metrics", sandbox_id), seconds or REQUEST_SECONDS))]


async def _pause(edge: AsyncEdge, sandbox_id: str, seconds: Optional[float]) -> bool:
    request = s.PauseSandboxRequest(sandbox_id=sandbox_id)
    await edge.call(PAUSE, request, About("pause", sandbox_id), seconds or REQUEST_SECONDS)
    return True


async def _resume(edge: AsyncEdge, sandbox_id: str, seconds: Optional[float]) -> SandboxInfo:
    request = s.ResumeSandboxRequest(sandbox_id=sandbox_id)
    return info_of((await edge.call(RESUME, request, About("resume", sandbox_id), seconds or CREATE_SECONDS)).sandbox)


class AsyncSandboxPaginator:
    """Pages of a list, newest first. Iterating goes through all of them."""

    def __init__(
        self, params: ConnectionParams, query: Optional[SandboxQuery], limit: Optional[int], token: Optional[str]
    ) -> None:
        self._params = params
        self._query = query
        self._limit = limit
        self.next_token = token
        self.has_next = True

    async def next_items(self) -> List[SandboxInfo]:
        if not self.has_next:
            raise SandboxException("there are no more pages", stage="Sandbox.list")
        request = list_request(self._query, self._limit, self.next_token)
        seconds = self._params.get("request_timeout") or REQUEST_SECONDS
        answer = await (await _edge(self._params)).call(LIST, request, About("Sandbox.list"), seconds)
        self.next_token = answer.next_page_token or None
        self.has_next = self.next_token is not None
        return [info_of(one) for one in answer.sandboxes]

    async def __aiter__(self) -> AsyncIterator[SandboxInfo]:
        while self.has_next:
            for one in await self.next_items():
                yield one


async def _connect_to(
    cls: Any, sandbox_id: str, timeout: Optional[float] = None, **opts: Unpack[ConnectionParams]
) -> AsyncSandbox:
    """A sandbox that is there. With `timeout` it lives that many seconds from now on, or longer."""
    one: AsyncSandbox = cls(sandbox_id, await _edge(opts), opts.get("domain"), opts.get("request_timeout"))
    return await one._connect(timeout, opts.get("request_timeout"))


async def _kill_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> bool:
    return await _kill(await _edge(opts), sandbox_id, opts.get("request_timeout"))


async def _info_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> SandboxInfo:
    return await _get(await _edge(opts), sandbox_id, "get_info", opts.get("request_timeout"))


async def _set_timeout_of(cls: Any, sandbox_id: str, timeout: float, **opts: Unpack[ConnectionParams]) -> None:
    await _extend(await _edge(opts), sandbox_id, timeout, False, opts.get("request_timeout"))


async def _metrics_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> List[SandboxMetrics]:
    return await _metrics(await _edge(opts), sandbox_id, opts.get("request_timeout"))


async def _pause_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> bool:
    return await _pause(await _edge(opts), sandbox_id, opts.get("request_timeout"))


async def _resume_of(cls: Any, sandbox_id: str, **opts: Unpack[ConnectionParams]) -> SandboxInfo:
    return await _resume(await _edge(opts), sandbox_id, opts.get("request_timeout"))


class AsyncSandbox:
    """A microVM with one container in it. `async with await AsyncSandbox.create() as sandbox:` ends it at the end of the block."""

    def __init__(self, sandbox_id: str, edge: AsyncEdge, domain: Optional[str] = None, request_timeout: Optional[float] = None):
        """By `create` and `connect`."""
        self.sandbox_id = sandbox_id
        self._edge = edge
        self._domain = domain
        seconds = request_timeout or REQUEST_SECONDS
        processes = AsyncProcesses(edge, sandbox_id, seconds)
        self.commands = AsyncCommands(processes)
        self.pty = AsyncPty(processes)
        self.files = AsyncFilesystem(edge, sandbox_id, seconds)
        self.ports = AsyncPorts(edge, sandbox_id, seconds)
        self.agent = AsyncAgent(processes, self.commands, lambda: _get(edge, sandbox_id, "agent.start", seconds))

    @classmethod
    async def create(
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
        edge = await _edge(opts)
        seconds = opts.get("request_timeout")
        made = await edge.call(CREATE, request, About("Sandbox.create", kind="template"), seconds or CREATE_SECONDS)
        return cls(made.sandbox.id, edge, opts.get("domain"), seconds)

    async def _connect(self, timeout: Optional[float] = None, request_timeout: Optional[float] = None) -> AsyncSandbox:
        """That it is there; one that is paused goes on. With `timeout` it lives that many seconds from now on, or longer."""
        found = await _get(self._edge, self.sandbox_id, "connect", request_timeout)
        paused = found.state is SandboxState.PAUSED
        if paused:
            await _resume(self._edge, self.sandbox_id, request_timeout)
        if timeout is not None:
            await _extend(self._edge, self.sandbox_id, timeout, not paused, request_timeout)
        return self

    connect = either(_connect_to, _connect)

    @staticmethod
    def list(
        query: Optional[SandboxQuery] = None,
        limit: Optional[int] = None,
        next_token: Optional[str] = None,
        **opts: Unpack[ConnectionParams],
    ) -> AsyncSandboxPaginator:
        return AsyncSandboxPaginator(opts, query, limit, next_token)

    async def _kill(self, request_timeout: Optional[float] = None) -> bool:
        """Ends the sandbox with all that is in it. False: it has ended before."""
        return await _kill(self._edge, self.sandbox_id, request_timeout)

    kill = either(_kill_of, _kill)

    async def _info(self, request_timeout: Optional[float] = None) -> SandboxInfo:
        return await _get(self._edge, self.sandbox_id, "get_info", request_timeout)

    get_info = either(_info_of, _info)

    async def _set_timeout(self, timeout: float, request_timeout: Optional[float] = None) -> None:
        """Seconds to live from now on: sooner or later than before."""
        await _extend(self._edge, self.sandbox_id, timeout, False, request_timeout)

    set_timeout = either(_set_timeout_of, _set_timeout)

    async def _metrics(self, request_timeout: Optional[float] = None) -> List[SandboxMetrics]:
        """A list of one, as E2B has it: what it uses now."""
        return await _metrics(self._edge, self.sandbox_id, request_timeout)

    get_metrics = either(_metrics_of, _metrics)

    async def _pause(self, request_timeout: Optional[float] = None) -> bool:
        """It stands still, in memory, until it is resumed or connected to; its time does not pass meanwhile."""
        return await _pause(self._edge, self.sandbox_id, request_timeout)

    pause = either(_pause_of, _pause)

    async def _resume(self, request_timeout: Optional[float] = None) -> SandboxInfo:
        return await _resume(self._edge, self.sandbox_id, request_timeout)

    resume = either(_resume_of, _resume)

    async def is_running(self, request_timeout: Optional[float] = None) -> bool:
        try:
            return (await _get(self._edge, self.sandbox_id, "is_running", request_timeout)).state is SandboxState.RUNNING
        except SandboxNotFoundException:
            return False

    def get_host(self, port: int) -> str:
        """The name by which a port is reached by HTTP through the runtime's own port."""
        return host_of(port, self.sandbox_id, self._edge.endpoint, self._domain)

    async def __aenter__(self: S) -> S:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
