"""The official Anthropic and OpenAI SDKs, as they are published: the same calls whole and streamed. Prints what came."""

import json

import anthropic
import openai

said = {}
messages = [{"role": "user", "content": "hello"}]

# Both find where they are and what opens it in the environment, as in a Box.
claude = anthropic.Anthropic()
answer = claude.messages.create(model="model-1", max_tokens=50, messages=messages)
said["messages"] = [answer.content[0].text, answer.usage.output_tokens]
with claude.messages.stream(model="model-1", max_tokens=50, messages=messages) as stream:
    said["messages streamed"] = ["".join(stream.text_stream), stream.get_final_message().usage.output_tokens]
said["count"] = claude.messages.count_tokens(model="model-1", messages=messages).input_tokens
try:
    claude.with_options(max_retries=0).messages.create(model="busy", max_tokens=50, messages=messages)
except anthropic.RateLimitError as error:
    said["busy"] = [error.status_code, error.response.headers["retry-after"]]

gpt = openai.OpenAI()
chat = gpt.chat.completions.create(model="model-1", messages=messages)
said["chat"] = [chat.choices[0].message.content, chat.usage.completion_tokens]
parts = gpt.chat.completions.create(
    model="model-1", messages=messages, stream=True, stream_options={"include_usage": True}
)
said["chat streamed"] = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
said["responses"] = gpt.responses.create(model="model-1", input="hello").output_text
events = gpt.responses.create(model="model-1", input="hello", stream=True)
said["responses streamed"] = "".join(event.delta for event in events if event.type == "response.output_text.delta")
said["models"] = [model.id for model in gpt.models.list()]
try:
    openai.OpenAI(api_key="another", max_retries=0).models.list()
except openai.AuthenticationError as error:
    said["another key"] = error.status_code

print(json.dumps(said))
