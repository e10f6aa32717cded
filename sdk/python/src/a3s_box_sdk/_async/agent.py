"""The coding agent of a sandbox, for asyncio."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Optional, Sequence, Union

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
from .commands import AsyncCommands
from .handle import AsyncCommandHandle, AsyncProcesses, OutputHandler, tell

AsyncOnPermission = Callable[[PermissionQuestion], Union[Optional[str], Awaitable[Optional[str]]]]


class AsyncAgentSession:
    """A conversation with an agent, which is a process of the sandbox. It goes on over a restart of the runtime."""

    def __init__(
        self, processes: AsyncProcesses, handle: AsyncCommandHandle, on_permission: Optional[AsyncOnPermission]
    ) -> None:
        """By `AsyncAgent.start`."""
        self.pid = handle.pid
        self.session_id = ""
        self._processes = processes
        self._on_permission = on_permission
        self._talk = Talk()
        self._output: AsyncIterator[Union[OutputChunk, OutputLost]] = handle.output("start")
        self._turn = asyncio.Lock()
        self._asking: Optional[asyncio.Future[Optional[str]]] = None
        """The wait for the caller's answer. It ends with a turn that is cancelled: an agent may ask nothing else before it."""

    async def _open(self, cwd: str, mcp_servers: Sequence[Dict[str, Any]]) -> None:
        number, hello = self._talk.hello()
        await self._ask(number, hello, None)
        number, new = self._talk.request("session/new", {"cwd": cwd, "mcpServers": list(mcp_servers)})
        self.session_id = str((await self._ask(number, new, None)).get("sessionId", ""))

    async def prompt(
        self,
        prompt: Prompt,
        *,
        on_update: Optional[OutputHandler[AgentUpdate]] = None,
        on_text: Optional[OutputHandler[str]] = None,
        timeout: Optional[float] = None,
    ) -> PromptResult:
        """One turn, to its end. `timeout`: seconds after which it is cancelled, and `TimeoutException` raised. A task that
        is cancelled cancels the turn.
        """
        text = ""

        async def told(update: AgentUpdate) -> None:
            nonlocal text
            await tell(on_update, update)
            text += update.text
            if update.text:
                await tell(on_text, update.text)

        async with self._turn:
            params = {"sessionId": self.session_id, "prompt": blocks_of(prompt)}
            number, line = self._talk.request("session/prompt", params)
            turn = asyncio.ensure_future(self._ask(number, line, told))
            try:
                done, _ = await asyncio.wait([turn], timeout=timeout or None)
            except asyncio.CancelledError:
                await self._give_up(turn)
                raise
            if not done:
                await self._give_up(turn)
                words = f"the agent has not ended its turn within {timeout} seconds"
                raise TimeoutException(words, stage="agent.prompt", sandbox_id=self._processes.sandbox_id)
            return prompt_result(turn.result(), text)

    async def cancel(self) -> None:
        """The turn that goes on ends as "cancelled"."""
        await self._send(self._talk.note("session/cancel", {"sessionId": self.session_id}))
        if self._asking is not None:
            self._asking.cancel()

    async def close(self) -> None:
        """Ends the agent."""
        self._processes.forget(self.pid)

    async def _give_up(self, turn: asyncio.Future[Dict[str, Any]]) -> None:
        """What it still says is this turn's. An agent that does not end it is ended."""
        await self.cancel()
        done, _ = await asyncio.wait([turn], timeout=GRACE_SECONDS)
        if not done:
            await self.close()
            turn.cancel()

    async def _ask(
        self, number: int, line: bytes, told: Optional[Callable[[AgentUpdate], Awaitable[None]]]
    ) -> Dict[str, Any]:
        await self._send(line)
        sandbox_id = self._processes.sandbox_id
        found: Optional[Dict[str, Any]] = None
        async for part in self._output:
            if isinstance(part, OutputLost):
                raise SandboxException(f"{part.bytes} bytes of the agent's output were lost", sandbox_id=sandbox_id)
            if part.stream == "stderr":
                self._talk.take_error(part.data)
                continue
            for message in self._talk.take(part.data):
                update = update_of(message)
                if update is not None and told is not None:
                    await told(update)
                elif is_question(message):
                    await self._send(self._talk.answer(message, await self._chosen(question_of(message))))
                elif is_answer(message, number):
                    found = message
            if found is not None:
                return result_of(found, sandbox_id)
        raise self._talk.ended(sandbox_id)

    async def _chosen(self, question: Optional[PermissionQuestion]) -> Optional[str]:
        if question is None:
            return None
        if self._on_permission is None:
            return rejection_of(question)
        answer = self._on_permission(question)
        if answer is None or isinstance(answer, str):
            return answer
        asking = self._asking = asyncio.ensure_future(answer)
        try:
            await asyncio.wait([asking])
        except asyncio.CancelledError:
            asking.cancel()
            raise
        finally:
            self._asking = None
        return None if asking.cancelled() else asking.result()

    async def _send(self, line: bytes) -> None:
        await self._processes.send_input(self.pid, line, "agent.prompt", None)


class AsyncAgent:
    """The coding agent that the sandbox's template, or `agent` of its creation, names."""

    def __init__(
        self, processes: AsyncProcesses, commands: AsyncCommands, info: Callable[[], Awaitable[SandboxInfo]]
    ) -> None:
        self._processes = processes
        self._commands = commands
        self._info = info
        self._session: Optional[AsyncAgentSession] = None
        self._beginning: Optional[asyncio.Lock] = None
        """Made by the first prompt: before Python 3.10 a lock is of the loop that it was made in."""

    async def start(
        self,
        *,
        cwd: Optional[str] = None,
        envs: Optional[Dict[str, str]] = None,
        on_permission: Optional[AsyncOnPermission] = None,
        mcp_servers: Sequence[Dict[str, Any]] = (),
        timeout: float = START_SECONDS,
    ) -> AsyncAgentSession:
        """A session of its own. `on_permission`: answers with the id of the option that is chosen, or None; without it
        every question is answered by a rejection.
        """
        info = await self._info()
        if info.agent is None or not info.agent.command:
            words = "the sandbox was made without a coding agent, or with one that speaks no ACP"
            raise FailedPreconditionException(words, stage="agent.start", sandbox_id=info.sandbox_id)
        handle = await self._commands.start(info.agent.command, envs=envs, cwd=cwd, stdin=True, timeout=0)
        await handle.disconnect()  # it is read by a connection that keeps nothing
        session = AsyncAgentSession(self._processes, handle, on_permission)
        try:
            await asyncio.wait_for(session._open(cwd or info.cwd, mcp_servers), timeout)
        except asyncio.TimeoutError as error:
            await session.close()
            words = f"the agent has not begun within {timeout} seconds"
            raise TimeoutException(words, stage="agent.start", sandbox_id=info.sandbox_id) from error
        except BaseException:
            await session.close()
            raise
        return session

    async def prompt(
        self,
        prompt: Prompt,
        *,
        on_update: Optional[OutputHandler[AgentUpdate]] = None,
        on_text: Optional[OutputHandler[str]] = None,
        on_permission: Optional[AsyncOnPermission] = None,
        timeout: Optional[float] = None,
    ) -> PromptResult:
        """One turn of a session that all calls of this have together; the first one starts it."""
        if self._beginning is None:
            self._beginning = asyncio.Lock()
        async with self._beginning:
            session = self._session
            if session is None:
                session = self._session = await self.start(on_permission=on_permission)
        return await session.prompt(prompt, on_update=on_update, on_text=on_text, timeout=timeout)

    async def cancel(self) -> None:
        """The turn of `prompt` that goes on ends as "cancelled"."""
        if self._session is not None:
            await self._session.cancel()

    async def close(self) -> None:
        """Ends the session of `prompt`; the next one starts another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
