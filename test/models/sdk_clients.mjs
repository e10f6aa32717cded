/** The official SDKs for JavaScript, in a Box: the same calls whole and streamed. Prints what came. */
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const said = {};
const messages = [{ role: "user", content: "hello" }];
const asked = { model: "model-1", max_tokens: 50, messages };

const claude = new Anthropic();
said.messages = (await claude.messages.create(asked)).content[0].text;
said["messages streamed"] = await claude.messages.stream(asked).finalText();

const gpt = new OpenAI();
said.chat = (await gpt.chat.completions.create({ model: "model-1", messages })).choices[0].message.content;
said["chat streamed"] = "";
for await (const part of await gpt.chat.completions.create({ model: "model-1", messages, stream: true })) {
  said["chat streamed"] += part.choices[0]?.delta.content ?? "";
}
said.responses = (await gpt.responses.create({ model: "model-1", input: "hello" })).output_text;
said["responses streamed"] = "";
for await (const event of await gpt.responses.create({ model: "model-1", input: "hello", stream: true })) {
  if (event.type === "response.output_text.delta") said["responses streamed"] += event.delta;
}
console.log(JSON.stringify(said));
