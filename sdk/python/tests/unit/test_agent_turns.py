"""The session that all prompts of a sandbox have together."""

import asyncio
import json
import threading
import time

from a3s_box_sdk._async.agent import AsyncAgent, AsyncAgentSession
from a3s_box_sdk._sync.agent import Agent
from a3s_box_sdk.models import PermissionQuestion

PROMPTS = 4


def test_prompts_of_several_tasks_start_one_agent():
    class Session:
        async def prompt(self, *_, **__):
            return self

    async def prompted():
        agent, made = AsyncAgent(None, None, None), []

        async def start(**_):
            await asyncio.sleep(0.01)
            made.append(Session())
            return made[-1]

        agent.start = start
        assert await asyncio.gather(*(agent.prompt("x") for _ in range(PROMPTS))) == made * PROMPTS

    asyncio.run(prompted())


def test_prompts_of_several_threads_start_one_agent():
    class Session:
        def prompt(self, *_, **__):
            return self

    agent, made, used = Agent(None, None, None), [], []

    def start(**_):
        time.sleep(0.01)
        made.append(Session())
        return made[-1]

    agent.start = start
    threads = [threading.Thread(target=lambda: used.append(agent.prompt("x"))) for _ in range(PROMPTS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert used == made * PROMPTS


def test_what_is_asked_when_a_turn_is_cancelled_is_answered_so():
    class Processes:
        sandbox_id = "sandbox"

        def __init__(self):
            self.sent = []

        async def send_input(self, _pid, line, *_):
            self.sent.append(json.loads(line))

    class Handle:
        pid = 7

        def output(self, _):
            return iter(())

    async def cancelled():
        asked = asyncio.Event()

        async def never(_):
            asked.set()
            await asyncio.Event().wait()

        processes = Processes()
        session = AsyncAgentSession(processes, Handle(), never)
        question = PermissionQuestion(options=[], tool_call={})
        chosen = asyncio.ensure_future(session._chosen(question))
        await asked.wait()
        await session.cancel()
        assert await asyncio.wait_for(chosen, 5) is None
        assert [one["method"] for one in processes.sent] == ["session/cancel"]

    asyncio.run(cancelled())
