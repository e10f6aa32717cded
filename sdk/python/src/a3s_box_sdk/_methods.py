"""The calls of sandboxes.v1, and which of them may be repeated without doing anything twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Optional, Type, TypeVar

from google.protobuf.message import Message

from ._proto import files_pb2 as f
from ._proto import ports_pb2 as po
from ._proto import processes_pb2 as p
from ._proto import sandboxes_pb2 as s

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


@dataclass(frozen=True)
class Method(Generic[Q, A]):
    path: str
    request: Type[Q]
    answer: Type[A]
    repeats: bool = False
    """Twice is as good as once: it may be asked again where a connection was dropped."""


@dataclass(frozen=True)
class About:
    """What a call is about: for its errors."""

    stage: str
    sandbox_id: Optional[str] = None
    kind: str = "sandbox"
    """What NOT_FOUND means: "sandbox", "process", "program" or "file"."""


_SANDBOX = "/sandboxes.v1.SandboxService/"
_PROCESS = "/sandboxes.v1.ProcessService/"
_FILE = "/sandboxes.v1.FileService/"

CREATE = Method(_SANDBOX + "CreateSandbox", s.CreateSandboxRequest, s.CreateSandboxResponse)
GET = Method(_SANDBOX + "GetSandbox", s.GetSandboxRequest, s.GetSandboxResponse, True)
LIST = Method(_SANDBOX + "ListSandboxes", s.ListSandboxesRequest, s.ListSandboxesResponse, True)
EXTEND = Method(_SANDBOX + "ExtendSandbox", s.ExtendSandboxRequest, s.ExtendSandboxResponse, True)
END = Method(_SANDBOX + "EndSandbox", s.EndSandboxRequest, s.EndSandboxResponse)
PAUSE = Method(_SANDBOX + "PauseSandbox", s.PauseSandboxRequest, s.PauseSandboxResponse)
RESUME = Method(_SANDBOX + "ResumeSandbox", s.ResumeSandboxRequest, s.ResumeSandboxResponse)
USAGE = Method(_SANDBOX + "GetSandboxUsage", s.GetSandboxUsageRequest, s.GetSandboxUsageResponse, True)

RUN = Method(_PROCESS + "RunProcess", p.RunProcessRequest, p.RunProcessResponse)
CONNECT = Method(_PROCESS + "ConnectProcess", p.ConnectProcessRequest, p.ConnectProcessResponse)
PROCESSES = Method(_PROCESS + "ListProcesses", p.ListProcessesRequest, p.ListProcessesResponse, True)
INPUT = Method(_PROCESS + "SendInput", p.SendInputRequest, p.SendInputResponse)
CLOSE_INPUT = Method(_PROCESS + "CloseInput", p.CloseInputRequest, p.CloseInputResponse, True)
SIGNAL = Method(_PROCESS + "SignalProcess", p.SignalProcessRequest, p.SignalProcessResponse)
RESIZE = Method(_PROCESS + "ResizeTerminal", p.ResizeTerminalRequest, p.ResizeTerminalResponse, True)
FORGET = Method(_PROCESS + "ForgetProcess", p.ForgetProcessRequest, p.ForgetProcessResponse, True)

STAT = Method(_FILE + "StatFile", f.StatFileRequest, f.StatFileResponse, True)
LIST_FILES = Method(_FILE + "ListFiles", f.ListFilesRequest, f.ListFilesResponse, True)
MAKE_DIRECTORY = Method(_FILE + "MakeDirectory", f.MakeDirectoryRequest, f.MakeDirectoryResponse)
MOVE = Method(_FILE + "MoveFile", f.MoveFileRequest, f.MoveFileResponse)
REMOVE = Method(_FILE + "RemoveFile", f.RemoveFileRequest, f.RemoveFileResponse)
WATCH = Method(_FILE + "WatchFiles", f.WatchFilesRequest, f.WatchFilesResponse)
READ = Method(_FILE + "ReadFile", f.ReadFileRequest, f.ReadFileResponse)
WRITE = Method(_FILE + "WriteFile", f.WriteFileRequest, f.WriteFileResponse)

FORWARD = Method("/sandboxes.v1.PortService/ForwardPort", po.ForwardPortRequest, po.ForwardPortResponse)
