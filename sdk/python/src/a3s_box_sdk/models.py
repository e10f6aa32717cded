"""What calls answer with. E2B's names where it has the thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Dict, List, Optional


class SandboxState(str, Enum):
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True)
class Mount:
    """A directory or file of the host in a sandbox."""

    host_path: str
    path: str
    readonly: bool = False


@dataclass
class CodingAgent:
    """What a sandbox was made with."""

    name: str
    kind: str
    """Whose preset it has: "opencode", "codex" …"""
    command: List[str]
    """Speaks ACP by standard input and output; empty: it can't."""


@dataclass
class AgentUpdate:
    """A message about what an agent does."""

    kind: str
    """"agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "plan" …"""
    text: str
    """Of its answer; empty for all else."""
    detail: Dict[str, Any]
    """ACP's `SessionUpdate`, as it came."""


@dataclass
class PermissionOption:
    option_id: str
    name: str
    kind: str
    """"allow_once", "allow_always", "reject_once", "reject_always"."""


@dataclass
class PermissionQuestion:
    """An agent asks before it does something."""

    options: List[PermissionOption]
    tool_call: Dict[str, Any]
    """What it wants to do, as ACP has it."""


@dataclass
class PromptResult:
    stop_reason: str
    """"end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"."""
    text: str
    """All of the answer."""


@dataclass
class SandboxInfo:
    sandbox_id: str
    template_id: str
    metadata: Dict[str, str]
    started_at: datetime
    end_at: Optional[datetime]
    """None: it never ends by itself."""
    state: SandboxState
    cpu_count: int
    memory_mb: int
    disk_mb: int
    image: str
    tenant: str
    envs: Dict[str, str]
    user: str
    cwd: str
    mounts: List[Mount]
    network: str
    """"none" or "pod"."""
    on_timeout: str
    """"kill" or "pause"."""
    ends_with_owner: bool
    pod_id: str
    container_id: str
    command: List[str] = field(default_factory=list)
    agent: Optional[CodingAgent] = None
    """None: it was made without one."""


@dataclass
class SandboxQuery:
    """All that is given must be so."""

    metadata: Optional[Dict[str, str]] = None
    state: Optional[List[SandboxState]] = None
    started_after: Optional[datetime] = None
    template: Optional[str] = None


@dataclass
class SandboxMetrics:
    cpu_count: int
    cpu_used_pct: float
    """Of one vCPU: 100 is one that is busy all the time."""
    disk_total: int
    disk_used: int
    mem_total: int
    mem_used: int
    mem_cache: int
    timestamp: datetime


@dataclass
class PtySize:
    rows: int
    cols: int


@dataclass
class CommandResult:
    stderr: str
    stdout: str
    exit_code: int
    error: Optional[str]
    lost_bytes: int = 0
    """Of output that had no room in the ring before anybody had read it. 0 is usual: `run` reads as fast as it can."""


@dataclass
class ProcessInfo:
    pid: int
    """The sandbox's number for it, from 1 up, never given twice; not the kernel's."""
    tag: Optional[str]
    cmd: str
    args: List[str]
    cwd: Optional[str]
    user: str
    started_at: datetime
    exit_code: Optional[int] = None
    """None while it runs."""
    envs: Dict[str, str] = field(default_factory=dict)
    """Always empty: the environment of a process is not told."""


@dataclass(frozen=True)
class OutputChunk:
    """A piece of what a process has written."""

    stream: str
    """"stdout" or "stderr"; a terminal's is all "stdout"."""
    data: bytes
    offset: int
    """Of its first byte in all that the process has written to both."""


@dataclass(frozen=True)
class OutputLost:
    """The ring had no room: this many bytes are missing before the next chunk."""

    bytes: int


class FileType(Enum):
    FILE = "file"
    DIR = "dir"
    SYMLINK = "symlink"


@dataclass
class WriteInfo:
    name: str
    type: Optional[FileType]
    path: str


@dataclass
class EntryInfo(WriteInfo):
    size: int
    mode: int
    permissions: str
    """As `ls` shows them: "-rw-r--r--"."""
    owner: str
    group: str
    modified_time: datetime
    symlink_target: Optional[str] = None


class FilesystemEventType(Enum):
    CHMOD = "chmod"
    CREATE = "create"
    REMOVE = "remove"
    RENAME = "rename"
    WRITE = "write"


@dataclass
class FilesystemEvent:
    name: str
    """Relative to the watched directory."""
    type: FilesystemEventType
    entry: Optional[EntryInfo] = None
