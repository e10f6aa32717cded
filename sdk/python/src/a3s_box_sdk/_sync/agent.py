"""The coding agent of a sandbox, for programs that wait."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Union

from .._acp import (
    GRACE_SECONDS,
    START_SECONDS,
    Prompt,
    Talk,
    blocks_of,
    is_answer,
    is_question,
    prompt_result,
    question_of,
    rejection_of,
    result_of,
    update_of,
)
from ..exceptions import FailedPreconditionException, SandboxException, TimeoutException
from ..models import AgentUpdate, OutputChunk, OutputLost, PermissionQuestion, PromptResult, SandboxInfo
from .commands import Commands
from .handle import CommandHandle, Processes

OnPermission = Callable[[PermissionQuestion], Optional[str]]


class AgentSession:
    """A conversation with an agent, which is a process of the sandbox. It goes on over a restart of the runtime."""

    def __init__(self, processes: Processes, handle: CommandHandle, on_permission: Optional[OnPermission]) -> None:
        """By `Agent.start`."""
        self.pid = handle.pid
        self.session_id = ""
        self._processes = processes
        self._on_permission = on_permission
        self._talk = Talk()
        self._output: Iterator[Union[OutputChunk, OutputLost]] = handle.output("start")
        self._turn = threading.Lock()

    def _open(self, cwd: str, mcp_servers: Sequence[Dict[str, Any]], timeout: float) -> None:
        number, hello = self._talk.hello()
        self._ask(number, hello, timeout)
        number, new = self._talk.request("session/new", {"cwd": cwd, "mcpServers": list(mcp_servers)})
        self.session_id = str(self._ask(number, new, timeout).get("sessionId", ""))

    def prompt(
        self,
        prompt: Prompt,
        *,
        on_update: Optional[Callable[[AgentUpdate], object]] = None,
        on_text: Optional[Callable[[str], object]] = None,
        timeout: Optional[float] = None,
    ) -> PromptResult:
        """One turn, to its end. `timeout`: seconds after which it is cancelled, and `TimeoutException` raised."""
        text = ""

        def told(update: AgentUpdate) -> None:
            nonlocal text
            if on_update is not None:
                on_update(update)
            text += update.text
            if on_text is not None and update.text:
                on_text(update.text)

        with self._turn:
            params = {"sessionId": self.session_id, "prompt": blocks_of(prompt)}
            number, line = self._talk.request("session/prompt", params)
            return prompt_result(self._ask(number, line, timeout, told), text)

    def cancel(self) -> None:
        """From another thread, or a callback: the turn that goes on ends as "cancelled"."""
        self._send(self._talk.note("session/cancel", {"sessionId": self.session_id}))

    def close(self) -> None:
        """Ends the agent."""
        self._processes.forget(self.pid)

    def _ask(
        self, number: int, line: bytes, timeout: Optional[float], told: Optional[Callable[[AgentUpdate], None]] = None
    ) -> Dict[str, Any]:
        late = threading.Event()
        timers = self._timers(timeout, late)
        try:
            self._send(line)
            result = self._answer_to(number, told)
        except SandboxException:
            if not late.is_set():
                raise
            result = {}
        finally:
            for one in timers:
                one.cancel()
        if late.is_set():
            words = f"the agent has not ended its turn within {timeout} seconds"
            raise TimeoutException(words, stage="agent.prompt", sandbox_id=self._processes.sandbox_id)
        return result

    def _timers(self, timeout: Optional[float], late: threading.Event) -> Sequence[threading.Timer]:
        if not timeout:
            return ()

        def passed() -> None:
            late.set()
            if self.session_id:
                self.cancel()
            else:
                self.close()

        timers = (threading.Timer(timeout, passed), threading.Timer(timeout + GRACE_SECONDS, self.close))
        for one in timers:
            one.daemon = True
            one.start()
        return timers

    def _answer_to(self, number: int, told: Optional[Callable[[AgentUpdate], None]]) -> Dict[str, Any]:
        sandbox_id = self._processes.sandbox_id
        found: Optional[Dict[str, Any]] = None
        for part in self._output:
            if isinstance(part, OutputLost):
                raise SandboxException(f"{part.bytes} bytes of the agent's output were lost", sandbox_id=sandbox_id)
            if part.stream == "stderr":
                self._talk.take_error(part.data)
                continue
            for message in self._talk.take(part.data):
                update = update_of(message)
                if update is not None and told is not None:
                    told(update)
                elif is_question(message):
                    self._send(self._talk.answer(message, self._chosen(question_of(message))))
                elif is_answer(message, number):
                    found = message
            if found is not None:
                return result_of(found, sandbox_id)
        raise self._talk.ended(sandbox_id)

    def _chosen(self, question: Optional[PermissionQuestion]) -> Optional[str]:
        if question is None:
            return None
        return rejection_of(question) if self._on_permission is None else self._on_permission(question)

    def _send(self, line: bytes) -> None:
        self._processes.send_input(self.pid, line, "agent.prompt", None)


class Agent:
    """The coding agent that the sandbox's template, or `agent` of its creation, names."""

    def __init__(self, processes: Processes, commands: Commands, info: Callable[[], SandboxInfo]) -> None:
        self._processes = processes
        self._commands = commands
        self._info = info
        self._session: Optional[AgentSession] = None
        self._beginning = threading.Lock()

    def start(
        self,
        *,
        cwd: Optional[str] = None,
        envs: Optional[Dict[str, str]] = None,
        on_permission: Optional[OnPermission] = None,
        mcp_servers: Sequence[Dict[str, Any]] = (),
        timeout: float = START_SECONDS,
    ) -> AgentSession:
        """A session of its own. `on_permission`: answers with the id of the option that is chosen, or None; without it
        every question is answered by a rejection.
        """
        info = self._info()
        if info.agent is None or not info.agent.command:
            words = "the sandbox was made without a coding agent, or with one that speaks no ACP"
            raise FailedPreconditionException(words, stage="agent.start", sandbox_id=info.sandbox_id)
        handle = self._commands.start(info.agent.command, envs=envs, cwd=cwd, stdin=True, timeout=0)
        handle.disconnect()  # it is read by a connection that keeps nothing
        session = AgentSession(self._processes, handle, on_permission)
        try:
            session._open(cwd or info.cwd, mcp_servers, timeout)
        except BaseException:
            session.close()
            raise
        return session

    def prompt(
        self,
        prompt: Prompt,
        *,
        on_update: Optional[Callable[[AgentUpdate], object]] = None,
        on_text: Optional[Callable[[str], object]] = None,
        on_permission: Optional[OnPermission] = None,
        timeout: Optional[float] = None,
    ) -> PromptResult:
        """One turn of a session that all calls of this have together; the first one starts it."""
        with self._beginning:
            session = self._session
            if session is None:
                session = self._session = self.start(on_permission=on_permission)
        return session.prompt(prompt, on_update=on_update, on_text=on_text, timeout=timeout)

    def cancel(self) -> None:
        """The turn of `prompt` that goes on, in another thread, ends as "cancelled"."""
        if self._session is not None:
            self._session.cancel()

    def close(self) -> None:
        """Ends the session of `prompt`; the next one starts another."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
