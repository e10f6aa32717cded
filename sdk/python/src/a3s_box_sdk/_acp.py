"""What is said with a coding agent: JSON-RPC 2.0, a message in each line, as far as this package looks into it."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from .exceptions import SandboxException
from .models import AgentUpdate, PermissionOption, PermissionQuestion, PromptResult

Message = Dict[str, Any]
Prompt = Union[str, Sequence[Dict[str, Any]]]

LONGEST_MESSAGE = 16 << 20
START_SECONDS = 180.0
"""The first start of an agent reads a lot."""
GRACE_SECONDS = 30.0
"""A turn that was cancelled says so itself; an agent that does not is ended."""
KEPT_OF_ERRORS = 2000
NO_SUCH_METHOD = -32601


class Talk:
    """One agent's messages: what goes out as bytes, what comes in as messages."""

    def __init__(self) -> None:
        self._rest = b""
        self._last = 0
        self._errors = ""

    def request(self, method: str, params: Dict[str, Any]) -> Tuple[int, bytes]:
        self._last += 1
        return self._last, _line({"id": self._last, "method": method, "params": params})

    def note(self, method: str, params: Dict[str, Any]) -> bytes:
        return _line({"method": method, "params": params})

    def answer(self, message: Message, option: Optional[str]) -> bytes:
        """To what the agent asks; `option`: what was chosen of a question's."""
        if message.get("method") != "session/request_permission":
            error = {"code": NO_SUCH_METHOD, "message": f"there is no {message.get('method')}"}
            return _line({"id": message.get("id"), "error": error})
        outcome = {"outcome": "cancelled"} if option is None else {"outcome": "selected", "optionId": option}
        return _line({"id": message.get("id"), "result": {"outcome": outcome}})

    def hello(self) -> Tuple[int, bytes]:
        """What the agent may do it does in the sandbox: no files and no terminals of this side."""
        client = {"name": "a3s-box-sdk", "version": "1"}
        return self.request("initialize", {"protocolVersion": 1, "clientCapabilities": {}, "clientInfo": client})

    def take(self, data: bytes) -> List[Message]:
        """Of standard output. What a program says before it speaks JSON is passed over."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_MESSAGE:
            raise SandboxException("a message of the agent has no end", stage="agent.prompt")
        return [one for one in map(_parsed, lines) if one is not None]

    def take_error(self, data: bytes) -> None:
        self._errors = (self._errors + data.decode(errors="replace"))[-KEPT_OF_ERRORS:]

    def ended(self, sandbox_id: str) -> SandboxException:
        said = self._errors.strip().split("\n")[-1]
        words = f"the agent has ended: {said}" if said else "the agent has ended"
        return SandboxException(words, stage="agent.prompt", sandbox_id=sandbox_id)


def is_answer(message: Message, number: int) -> bool:
    return message.get("method") is None and message.get("id") == number


def is_question(message: Message) -> bool:
    return message.get("method") is not None and message.get("id") is not None


def result_of(message: Message, sandbox_id: str) -> Dict[str, Any]:
    error = message.get("error")
    if error:
        words = error.get("message", error) if isinstance(error, dict) else error
        raise SandboxException(f"the agent says: {words}", stage="agent.prompt", sandbox_id=sandbox_id)
    result = message.get("result")
    return result if isinstance(result, dict) else {}


def update_of(message: Message) -> Optional[AgentUpdate]:
    if message.get("method") != "session/update":
        return None
    update = (message.get("params") or {}).get("update")
    if not isinstance(update, dict) or not isinstance(update.get("sessionUpdate"), str):
        return None
    return AgentUpdate(kind=update["sessionUpdate"], text=_text_of(update), detail=update)


def question_of(message: Message) -> Optional[PermissionQuestion]:
    if message.get("method") != "session/request_permission":
        return None
    params = message.get("params") or {}
    options = [
        PermissionOption(str(one.get("optionId")), str(one.get("name", "")), str(one.get("kind", "")))
        for one in params.get("options") or []
        if isinstance(one, dict)
    ]
    return PermissionQuestion(options=options, tool_call=params.get("toolCall") or {})


def rejection_of(question: PermissionQuestion) -> Optional[str]:
    """Where nobody is asked."""
    return next((one.option_id for one in question.options if one.kind == "reject_once"), None)


def blocks_of(prompt: Prompt) -> List[Dict[str, Any]]:
    return [{"type": "text", "text": prompt}] if isinstance(prompt, str) else list(prompt)


def prompt_result(result: Dict[str, Any], text: str) -> PromptResult:
    return PromptResult(stop_reason=str(result.get("stopReason", "")), text=text)


def _text_of(update: Dict[str, Any]) -> str:
    content = update.get("content")
    if update.get("sessionUpdate") != "agent_message_chunk" or not isinstance(content, dict):
        return ""
    text = content.get("text")
    return text if isinstance(text, str) else ""


def _line(message: Message) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n"


def _parsed(line: bytes) -> Optional[Message]:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
