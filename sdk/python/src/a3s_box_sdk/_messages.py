"""From this package's words to messages, and back."""

from __future__ import annotations

import stat
from datetime import datetime, timedelta, timezone
from typing import Dict, List, Optional, Sequence, Union

from ._proto import files_pb2 as f
from ._proto import processes_pb2 as p
from ._proto import sandboxes_pb2 as s
from .exceptions import InvalidArgumentException
from .models import (
    CodingAgent,
    EntryInfo,
    FilesystemEventType,
    FileType,
    Mount,
    ProcessInfo,
    PtySize,
    SandboxInfo,
    SandboxMetrics,
    SandboxQuery,
    SandboxState,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

STATES = {
    SandboxState.STARTING: s.SANDBOX_STATE_STARTING,
    SandboxState.RUNNING: s.SANDBOX_STATE_RUNNING,
    SandboxState.PAUSED: s.SANDBOX_STATE_PAUSED,
    SandboxState.ENDED: s.SANDBOX_STATE_ENDED,
}
STATE_NAMES = {number: state for state, number in STATES.items()}


def milliseconds(seconds: Optional[float]) -> Optional[int]:
    if seconds is None:
        return None
    if not 0 <= seconds < 2**53 / 1000:
        raise InvalidArgumentException(f"{seconds} is no number of seconds")
    return round(seconds * 1000)


def create_request(
    template: Optional[str],
    timeout: Optional[float],
    metadata: Optional[Dict[str, str]],
    envs: Optional[Dict[str, str]],
    cpu_count: Optional[int],
    memory_mb: Optional[int],
    disk_mb: Optional[int],
    user: Optional[str],
    cwd: Optional[str],
    mounts: Optional[Sequence[Mount]],
    network: Optional[str],
    allow_internet_access: Optional[bool],
    idle_timeout: Optional[float],
    on_timeout: Optional[str],
    ends_with_owner: Optional[bool],
    agent: Optional[str] = None,
    skills: Optional[Sequence[str]] = None,
) -> s.CreateSandboxRequest:
    if network not in (None, "none", "pod"):
        raise InvalidArgumentException(f'network "{network}" is neither "none" nor "pod"', stage="Sandbox.create")
    if on_timeout not in (None, "kill", "pause"):
        raise InvalidArgumentException(f'on_timeout "{on_timeout}" is neither "kill" nor "pause"', stage="Sandbox.create")
    if allow_internet_access is False and network is None:
        network = "none"
    return s.CreateSandboxRequest(
        template=template or "base",
        vcpus=cpu_count,
        memory_mib=memory_mb,
        disk_mib=disk_mb,
        env=envs or {},
        user=user,
        working_dir=cwd,
        mounts=[s.Mount(host_path=one.host_path, path=one.path, readonly=one.readonly) for one in mounts or []],
        metadata=metadata or {},
        network={None: s.NETWORK_UNSPECIFIED, "none": s.NETWORK_NONE, "pod": s.NETWORK_POD}[network],
        life_ms=milliseconds(timeout),
        idle_ms=milliseconds(idle_timeout),
        at_end={None: s.AT_END_UNSPECIFIED, "kill": s.AT_END_END, "pause": s.AT_END_PAUSE}[on_timeout],
        ends_with_owner=ends_with_owner,
        agent=agent,
        skills=None if skills is None else s.SkillDirectories(host_paths=list(skills)),
    )


def list_request(query: Optional[SandboxQuery], limit: Optional[int], token: Optional[str]) -> s.ListSandboxesRequest:
    asked = query or SandboxQuery()
    request = s.ListSandboxesRequest(
        metadata=asked.metadata or {},
        states=[STATES[SandboxState(state)] for state in asked.state or []],
        template=asked.template or "",
        page_size=limit or 0,
        page_token=token or "",
    )
    if asked.started_after is not None:
        since = (asked.started_after.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1)
        request.started_after.seconds, micros = divmod(since, 1_000_000)
        request.started_after.nanos = micros * 1000
    return request


def time_of(message: object) -> datetime:
    seconds: int = getattr(message, "seconds")
    nanos: int = getattr(message, "nanos")
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


def info_of(message: s.Sandbox) -> SandboxInfo:
    return SandboxInfo(
        sandbox_id=message.id,
        template_id=message.template,
        metadata=dict(message.metadata),
        started_at=time_of(message.started_at),
        end_at=time_of(message.ends_at) if message.HasField("ends_at") else None,
        state=STATE_NAMES.get(message.state, SandboxState.ENDED),
        cpu_count=message.vcpus,
        memory_mb=message.memory_mib,
        disk_mb=message.disk_mib,
        image=message.image,
        tenant=message.tenant,
        envs=dict(message.env),
        user=message.user,
        cwd=message.working_dir,
        mounts=[Mount(one.host_path, one.path, one.readonly) for one in message.mounts],
        network="none" if message.network == s.NETWORK_NONE else "pod",
        on_timeout="pause" if message.at_end == s.AT_END_PAUSE else "kill",
        ends_with_owner=message.ends_with_owner,
        pod_id=message.pod_id,
        container_id=message.container_id,
        command=list(message.command),
        agent=agent_of(message.agent) if message.HasField("agent") else None,
    )


def agent_of(message: s.CodingAgent) -> CodingAgent:
    return CodingAgent(name=message.name, kind=message.kind, command=list(message.command))


def metrics_of(message: s.GetSandboxUsageResponse) -> SandboxMetrics:
    return SandboxMetrics(
        cpu_count=message.vcpus,
        cpu_used_pct=message.cpu_percent,
        disk_total=message.disk_total_bytes,
        disk_used=message.disk_used_bytes,
        mem_total=message.memory_total_bytes,
        mem_used=message.memory_used_bytes,
        mem_cache=message.memory_cache_bytes,
        timestamp=time_of(message.at),
    )


BASH = "/bin/bash"
SH = "/bin/sh"
PTY_ENVS = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def start_request(
    sandbox_id: str,
    args: Sequence[str],
    *,
    envs: Optional[Dict[str, str]] = None,
    cwd: Optional[str] = None,
    user: Optional[str] = None,
    size: Optional[PtySize] = None,
    stdin: bool = False,
    tag: Optional[str] = None,
    timeout: Optional[float] = None,
) -> p.StartProcessRequest:
    return p.StartProcessRequest(
        sandbox_id=sandbox_id,
        args=args,
        env=envs or {},
        working_dir=cwd or "",
        user=user or "",
        terminal=None if size is None else p.Terminal(columns=size.cols, rows=size.rows),
        stdin=stdin,
        tag=tag or "",
        limit_ms=milliseconds(timeout) or 0,
    )


def command_args(cmd: Union[str, Sequence[str]]) -> List[str]:
    """A string is read by a login shell, as E2B has it; a list is the program and its arguments."""
    return [BASH, "-l", "-c", cmd] if isinstance(cmd, str) else list(cmd)


def process_of(message: p.Process) -> ProcessInfo:
    cmd, *args = list(message.args) or [""]
    return ProcessInfo(
        pid=message.id,
        tag=message.tag or None,
        cmd=cmd,
        args=args,
        cwd=message.working_dir or None,
        user=message.user,
        started_at=time_of(message.started_at),
        exit_code=exit_code_of(message.exit) if message.HasField("exit") else None,
    )


def exit_code_of(message: p.ProcessExit) -> int:
    """As E2B says it: -1 where a signal has ended it."""
    return message.code if message.signal == 0 else -1


_TYPES = {f.FILE_KIND_DIRECTORY: FileType.DIR, f.FILE_KIND_LINK: FileType.SYMLINK}
_FORMATS = {f.FILE_KIND_DIRECTORY: stat.S_IFDIR, f.FILE_KIND_LINK: stat.S_IFLNK, f.FILE_KIND_FILE: stat.S_IFREG}


def entry_of(message: f.FileEntry) -> EntryInfo:
    return EntryInfo(
        name=message.name,
        type=_TYPES.get(message.kind, FileType.FILE),
        path=message.path,
        size=message.size_bytes,
        mode=message.mode,
        permissions=stat.filemode(_FORMATS.get(message.kind, 0) | message.mode),
        owner=message.owner or str(message.uid),
        group=message.group or str(message.gid),
        modified_time=time_of(message.modified_at),
        symlink_target=message.target if message.HasField("target") else None,
    )


CHANGES = {
    f.FILE_CHANGE_CREATE: FilesystemEventType.CREATE,
    f.FILE_CHANGE_WRITE: FilesystemEventType.WRITE,
    f.FILE_CHANGE_REMOVE: FilesystemEventType.REMOVE,
    f.FILE_CHANGE_RENAME: FilesystemEventType.RENAME,
    f.FILE_CHANGE_CHMOD: FilesystemEventType.CHMOD,
}
