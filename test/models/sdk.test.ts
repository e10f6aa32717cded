/** The official SDKs, as they are published, with what a Box's environment has. */
import Anthropic from "@anthropic-ai/sdk";
import { expect } from "chai";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import OpenAI from "openai";
import { environmentOf } from "../../src/llm/environment.js";
import { usual } from "../support/models/fake-models.js";
import { boxOf, openGateway, type OpenGateway } from "../support/models/open-gateway.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";

const python = join(projectDirectory, "build/assets/python-clients/bin/python");
const messages = [{ role: "user" as const, content: "hello" }];

describe("the official SDKs through the gateway", () => {
  let open: OpenGateway;
  let environment: Readonly<Record<string, string>>;

  before(async () => {
    open = await openGateway();
    const box = boxOf("box-1");
    const port = await open.port(box);
    const inBox = environmentOf(box, open.gateway.configs, open.tokens);
    // The gateway's own port is a Box's; here another stands for it.
    environment = Object.fromEntries(
      Object.entries(inBox).map(([name, value]) => [name, value.replace("4089", String(port))]),
    );
  });

  after(async () => {
    await open.close();
  });

  const of = (name: string): string => environment[name] ?? "";

  it("Anthropic's for JavaScript: messages whole and streamed, tokens counted, errors told apart", async () => {
    const client = new Anthropic({ baseURL: of("ANTHROPIC_BASE_URL"), apiKey: of("ANTHROPIC_API_KEY"), maxRetries: 0 });
    const whole = await client.messages.create({ model: "model-1", max_tokens: 50, messages });
    expect(whole.content[0]).to.deep.include({ type: "text", text: usual.text });
    const stream = client.messages.stream({ model: "model-1", max_tokens: 50, messages });
    expect(await stream.finalText()).to.equal(usual.text);
    expect((await stream.finalMessage()).usage.output_tokens).to.equal(8);
    expect((await client.messages.countTokens({ model: "model-1", messages })).input_tokens).to.equal(7);
    const refused = await client.messages
      .create({ model: "busy", max_tokens: 50, messages })
      .catch((thrown: unknown) => thrown);
    expect(refused).to.be.instanceOf(Anthropic.RateLimitError);
  });

  it("OpenAI's for JavaScript: chat and responses whole and streamed, embeddings, models", async () => {
    const client = new OpenAI({ baseURL: of("OPENAI_BASE_URL"), apiKey: of("OPENAI_API_KEY"), maxRetries: 0 });
    const chat = await client.chat.completions.create({ model: "model-1", messages });
    expect(chat.choices[0]?.message.content).to.equal(usual.text);
    let text = "";
    const options = { stream: true, stream_options: { include_usage: true } } as const;
    for await (const part of await client.chat.completions.create({ model: "model-1", messages, ...options })) {
      text += part.choices[0]?.delta.content ?? "";
    }
    expect(text).to.equal(usual.text);
    expect((await client.responses.create({ model: "model-1", input: "hello" })).output_text).to.equal(usual.text);
    text = "";
    for await (const event of await client.responses.create({ model: "model-1", input: "hello", stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    expect(text).to.equal(usual.text);
    expect((await client.models.list()).data.map(({ id }) => id)).to.deep.equal(["model-1"]);
    const stranger = new OpenAI({ baseURL: of("OPENAI_BASE_URL"), apiKey: "another", maxRetries: 0 });
    const refused = await stranger.models.list().catch((thrown: unknown) => thrown);
    expect(refused).to.be.instanceOf(OpenAI.AuthenticationError);
  });

  it("both for Python, with nothing but the environment", async function () {
    if (!existsSync(python)) skipBecause(this, "no python-clients: run the set-up");
    const script = join(import.meta.dirname, "sdk_clients.py");
    const env = { PATH: process.env["PATH"], PYTHONDONTWRITEBYTECODE: "1", ...environment };
    const { stdout } = await promisify(execFile)(python, [script], { env });
    expect(JSON.parse(stdout)).to.deep.equal({
      ...{ messages: [usual.text, 8], "messages streamed": [usual.text, 8], count: 7, busy: [429, "17"] },
      ...{
        chat: [usual.text, 7],
        "chat streamed": usual.text,
        responses: usual.text,
        "responses streamed": usual.text,
      },
      ...{ models: ["model-1"], "another key": 401 },
    });
  });
});
