"""Commands and terminals in a sandbox."""

from __future__ import annotations

from typing import Callable, Dict, List, Literal, Optional, Sequence, Union, overload

from .._following import Following, From
from .._messages import BASH, PTY_ENVS, command_args, process_of, start_request
from .._methods import PROCESSES, RESIZE
from .._proto import processes_pb2 as p
from ..exceptions import UnimplementedException
from ..models import CommandResult, ProcessInfo, PtySize
from .handle import SIGKILL, CommandHandle, EventStream, Processes

class Commands:
    """Programs in the sandbox. Each has a number, its output is kept, and it outlives the connection."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def list(self, request_timeout: Optional[float] = None, *, ended: bool = False) -> List[ProcessInfo]:
        """Those that run; `ended`: those that have ended and are not forgotten, too."""
        one = self._processes
        request = p.ListProcessesRequest(sandbox_id=one.sandbox_id)
        answer = one.edge.call(PROCESSES, request, one.about("commands.list"), request_timeout or one.request_timeout)
        return [process_of(found) for found in answer.processes if ended or not found.HasField("exit")]

    def kill(self, pid: int, request_timeout: Optional[float] = None) -> bool:
        """With all that it has started. False: there is none, or it has exited."""
        return self._processes.signal(pid, SIGKILL, True, "commands.kill", request_timeout)

    def signal(self, pid: int, number: int, request_timeout: Optional[float] = None) -> bool:
        """Any signal of Linux', to the process alone."""
        return self._processes.signal(pid, number, False, "commands.signal", request_timeout)

    def send_stdin(self, pid: int, data: Union[str, bytes], request_timeout: Optional[float] = None) -> None:
        self._processes.send_input(pid, data, "commands.send_stdin", request_timeout)

    def close_stdin(self, pid: int, request_timeout: Optional[float] = None) -> None:
        self._processes.close_input(pid, "commands.close_stdin", request_timeout)

    @overload
    def run(
        self,
        cmd: Union[str, Sequence[str]],
        background: Union[Literal[False], None] = None,
        envs: Optional[Dict[str, str]] = None,
        user: Optional[str] = None,
        cwd: Optional[str] = None,
        on_stdout: Optional[Callable[[str], None]] = None,
        on_stderr: Optional[Callable[[str], None]] = None,
        stdin: Optional[bool] = None,
        timeout: Optional[float] = 60,
        request_timeout: Optional[float] = None,
        *,
        tag: Optional[str] = None,
    ) -> CommandResult: ...

    @overload
    def run(
        self,
        cmd: Union[str, Sequence[str]],
        background: Literal[True],
        envs: Optional[Dict[str, str]] = None,
        user: Optional[str] = None,
        cwd: Optional[str] = None,
        on_stdout: None = None,
        on_stderr: None = None,
        stdin: Optional[bool] = None,
        timeout: Optional[float] = 60,
        request_timeout: Optional[float] = None,
        *,
        tag: Optional[str] = None,
    ) -> CommandHandle: ...

    def run(
        self,
        cmd: Union[str, Sequence[str]],
        background: Optional[bool] = None,
        envs: Optional[Dict[str, str]] = None,
        user: Optional[str] = None,
        cwd: Optional[str] = None,
        on_stdout: Optional[Callable[[str], None]] = None,
        on_stderr: Optional[Callable[[str], None]] = None,
        stdin: Optional[bool] = None,
        timeout: Optional[float] = 60,
        request_timeout: Optional[float] = None,
        *,
        tag: Optional[str] = None,
    ) -> Union[CommandResult, CommandHandle]:
        """A string is read by bash (by sh, where there is none); a list is the program and its arguments.

        `timeout`: seconds after which the command is killed; 0: never. In the background a handle is answered, else what
        came of the command, and the sandbox keeps nothing of it.
        """
        one = self._processes
        start = start_request(
            *(one.sandbox_id, command_args(cmd)),
            **{"envs": envs, "cwd": cwd, "user": user},  # type: ignore[arg-type]
            stdin=bool(stdin),
            tag=tag,
            timeout=timeout,
        )
        is_http = one.edge.endpoint.protocol == "http"
        if is_http and (background or on_stdout or on_stderr or stdin):
            raise UnimplementedException(
                "background, callbacks and stdin need another protocol (protocol: grpc)",
                stage="commands.run",
                sandbox_id=one.sandbox_id,
            )
        # The server ends the command at its time; the wait for that has an end of its own.
        patience = (timeout + (request_timeout or one.request_timeout)) if timeout else None
        following = Following(one.sandbox_id, start=start)
        stream = EventStream(one.edge, following, one.about("commands.run", "program"), patience)
        handle = CommandHandle(one, stream, timeout)
        if background:
            return handle
        try:
            return handle.wait(on_stdout=on_stdout, on_stderr=on_stderr)
        finally:
            # Whatever ended the wait (Ctrl-C, a callback that raised): nobody is there for the command any more.
            handle.disconnect()
            one.forget(handle.pid)

    def start(
        self,
        cmd: Union[str, Sequence[str]],
        *,
        envs: Optional[Dict[str, str]] = None,
        user: Optional[str] = None,
        cwd: Optional[str] = None,
        stdin: Optional[bool] = None,
        timeout: Optional[float] = 60,
        tag: Optional[str] = None,
    ) -> CommandHandle:
        """`run` in the background."""
        return self.run(cmd, True, envs=envs, user=user, cwd=cwd, stdin=stdin, timeout=timeout, tag=tag)

    def connect(
        self,
        pid: int,
        timeout: Optional[float] = 60,
        request_timeout: Optional[float] = None,
        *,
        from_: From = "unseen",
    ) -> CommandHandle:
        """A handle on a process. `from_`: where its output is read from: "unseen" (where the newest reader has come to),
        "start", "now", or an offset. `timeout`: seconds for which it is read; the process runs on.
        """
        one = self._processes
        where = one.left.pop(pid, from_) if from_ == "unseen" else from_
        following = Following(one.sandbox_id, pid=pid, from_=where)
        stream = EventStream(one.edge, following, one.about("commands.connect"), timeout)
        return CommandHandle(one, stream, timeout)


class Pty:
    """Terminals in the sandbox."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def create(
        self,
        size: PtySize,
        user: Optional[str] = None,
        cwd: Optional[str] = None,
        envs: Optional[Dict[str, str]] = None,
        timeout: Optional[float] = 60,
        request_timeout: Optional[float] = None,
    ) -> CommandHandle:
        """A login shell at a terminal. Its output comes by iterating, or by `wait(on_pty=…)`."""
        one = self._processes
        start = start_request(
            *(one.sandbox_id, [BASH, "-i", "-l"]),
            envs={**PTY_ENVS, **(envs or {})},
            user=user,
            cwd=cwd,
            size=size,
            timeout=timeout,
        )
        patience = (timeout + (request_timeout or one.request_timeout)) if timeout else None
        following = Following(one.sandbox_id, start=start)
        stream = EventStream(one.edge, following, one.about("pty.create", "program"), patience)
        return CommandHandle(one, stream, timeout, is_terminal=True)

    def connect(
        self,
        pid: int,
        timeout: Optional[float] = 60,
        request_timeout: Optional[float] = None,
        *,
        from_: From = "unseen",
    ) -> CommandHandle:
        one = self._processes
        where = one.left.pop(pid, from_) if from_ == "unseen" else from_
        following = Following(one.sandbox_id, pid=pid, from_=where)
        stream = EventStream(one.edge, following, one.about("pty.connect"), timeout)
        return CommandHandle(one, stream, timeout, is_terminal=True)

    def kill(self, pid: int, request_timeout: Optional[float] = None) -> bool:
        return self._processes.signal(pid, SIGKILL, True, "pty.kill", request_timeout)

    def send_stdin(self, pid: int, data: bytes, request_timeout: Optional[float] = None) -> None:
        self._processes.send_input(pid, data, "pty.send_stdin", request_timeout)

    def resize(self, pid: int, size: PtySize, request_timeout: Optional[float] = None) -> None:
        one = self._processes
        request = p.ResizeTerminalRequest(
            sandbox_id=one.sandbox_id,
            process=p.ProcessSelector(id=pid),
            terminal=p.Terminal(columns=size.cols, rows=size.rows),
        )
        one.edge.call(RESIZE, request, one.about("pty.resize"), request_timeout or one.request_timeout)
