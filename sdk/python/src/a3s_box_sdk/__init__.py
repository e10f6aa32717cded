"""Sandboxes for agents, each a microVM, from a3s-box.

    from a3s_box_sdk import Sandbox

    with Sandbox.create() as sandbox:
        print(sandbox.commands.run("echo hello").stdout)

Names are those of E2B's SDK, so that an app changes its provider by changing an import.
"""

from ._async.agent import AsyncAgent, AsyncAgentSession
from ._async.handle import AsyncCommandHandle
from ._async.main import AsyncSandbox, AsyncSandboxPaginator
from ._async.ports import AsyncForward
from ._async.streams import AsyncFileStreamReader, AsyncWatchHandle
from ._files import WriteData, WriteEntry
from ._sync.agent import Agent, AgentSession
from ._sync.handle import CommandHandle
from ._sync.main import Sandbox, SandboxPaginator
from ._sync.ports import Forward
from ._sync.streams import FileStreamReader, WatchHandle
from .exceptions import (
    AlreadyExistsException,
    AuthenticationException,
    CommandExitException,
    FailedPreconditionException,
    FileNotFoundException,
    InvalidArgumentException,
    NotEnoughSpaceException,
    NotFoundException,
    PermissionDeniedException,
    ProcessNotFoundException,
    QuotaException,
    RateLimitException,
    SandboxException,
    SandboxNotFoundException,
    TimeoutException,
    UnavailableException,
    UnimplementedException,
)
from .models import (
    AgentUpdate,
    CodingAgent,
    CommandResult,
    EntryInfo,
    FilesystemEvent,
    FilesystemEventType,
    FileType,
    Mount,
    OutputChunk,
    OutputLost,
    PermissionOption,
    PermissionQuestion,
    ProcessInfo,
    PromptResult,
    PtySize,
    SandboxInfo,
    SandboxMetrics,
    SandboxQuery,
    SandboxState,
    WriteInfo,
)

__all__ = [
    *("Agent", "AgentSession", "AgentUpdate", "AsyncAgent", "AsyncAgentSession", "CodingAgent", "PermissionOption"),
    *("PermissionQuestion", "PromptResult"),
    *("AlreadyExistsException", "AsyncCommandHandle", "AsyncFileStreamReader", "AsyncForward", "AsyncSandbox"),
    *("AsyncSandboxPaginator", "AsyncWatchHandle", "AuthenticationException", "CommandExitException", "CommandHandle"),
    *("CommandResult", "EntryInfo", "FailedPreconditionException", "FileNotFoundException", "FileStreamReader"),
    *("FilesystemEvent", "FilesystemEventType", "FileType", "Forward", "InvalidArgumentException", "Mount"),
    *("NotEnoughSpaceException", "NotFoundException", "OutputChunk", "OutputLost", "PermissionDeniedException"),
    *("ProcessInfo", "ProcessNotFoundException", "PtySize", "QuotaException", "RateLimitException", "Sandbox"),
    *("SandboxException", "SandboxInfo", "SandboxMetrics", "SandboxNotFoundException", "SandboxPaginator"),
    *("SandboxQuery", "SandboxState", "TimeoutException", "UnavailableException", "UnimplementedException"),
    *("WatchHandle", "WriteData", "WriteEntry", "WriteInfo"),
]
