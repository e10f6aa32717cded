"""The session that all prompts of a sandbox have together."""

import asyncio
import threading
import time

from a3s_box_sdk._async.agent import AsyncAgent
from a3s_box_sdk._sync.agent import Agent

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
