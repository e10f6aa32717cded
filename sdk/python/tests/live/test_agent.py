"""A coding agent of our own in a real sandbox, by both clients."""

import asyncio
import os
import threading

import pytest

import a3s_box_sdk as a3s
from a3s_box_sdk import AsyncSandbox, Sandbox

FAKE = os.environ.get("A3S_BOX_FAKE_AGENT", "")
pytestmark = pytest.mark.skipif(not FAKE, reason="no agent is given")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox.create("agent", timeout=600) as made, open(FAKE) as program:
        made.files.write("/tmp/fake.sh", program.read())
        yield made


def test_a_prompt_has_updates_questions_and_an_end(sandbox):
    assert sandbox.get_info().agent == a3s.CodingAgent("fake", "custom", ["sh", "/tmp/fake.sh"])
    questions, updates, texts = [], [], []

    def chosen(question):
        questions.append([one.option_id for one in question.options])
        return "yes" if len(questions) == 1 else None

    made = sandbox.agent.prompt("ask", on_permission=chosen, on_update=updates.append, on_text=texts.append)
    assert made == a3s.PromptResult("end_turn", "made it")
    assert (questions, texts, [one.kind for one in updates]) == ([["yes", "no"]], ["made it"], ["agent_message_chunk"])
    assert sandbox.agent.prompt("ask").text == "left it"
    counted = sandbox.agent.prompt("count 20")
    assert counted.text.split() == [str(one + 1) for one in range(20)]
    assert sandbox.agent.prompt("wait", on_text=lambda _: sandbox.agent.cancel()).stop_reason == "cancelled"
    with pytest.raises(a3s.TimeoutException):
        sandbox.agent.prompt("wait", timeout=1)
    threading.Timer(1, sandbox.agent.cancel).start()
    assert sandbox.agent.prompt("wait").stop_reason == "cancelled"
    with pytest.raises(a3s.SandboxException, match="the agent has ended: no model answers"):
        sandbox.agent.prompt("exit")
    sandbox.agent.close()
    assert sandbox.agent.prompt("again").text == "you said: again"
    sandbox.agent.close()


def test_a_session_without_anybody_to_ask_rejects(sandbox):
    session = sandbox.agent.start(cwd="/tmp")
    assert session.prompt("ask").text == "left it"
    session.close()


def test_a_sandbox_without_an_agent_says_so(sandbox):
    with Sandbox.create("agent", agent="") as other:
        with pytest.raises(a3s.FailedPreconditionException):
            other.agent.prompt("hello")


def test_asyncio_has_the_same(sandbox):
    async def talk():
        other = await AsyncSandbox.connect(sandbox.sandbox_id)
        texts = []

        async def heard(text):
            texts.append(text)

        async def chosen(_question):
            return "yes"

        assert (await other.agent.prompt("ask", on_permission=chosen, on_text=heard)).text == "made it"
        assert texts == ["made it"]
        with pytest.raises(a3s.TimeoutException):
            await other.agent.prompt("wait", timeout=1)
        waiting = asyncio.ensure_future(other.agent.prompt("wait", on_text=lambda _: waiting.cancel()))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await other.agent.prompt("hello")).text == "you said: hello"
        await other.agent.close()

    asyncio.run(talk())
