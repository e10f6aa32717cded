/** The tools, by the protocol's own client, unmodified: over HTTP and by stdio, in the protocol of today and in the older one. */
import { Client, StreamableHTTPClientTransport, type VersionNegotiationOptions } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { expect } from "chai";
import { request as httpRequest } from "node:http";
import * as z from "zod";
import { createLogger } from "../../../../src/base/log.js";
import { mcpProtocol } from "../../../../src/sandboxes/mcp/mcp-protocol.js";
import { projectDirectory } from "../../../support/project.js";
import { eventually } from "../../../support/wait.js";
import { DoubleSandboxes } from "../../../support/sandboxes/double.js";
import { openHttpPort, type HttpPort } from "../../../support/sandboxes/http-port.js";

const log = createLogger("error");
const caller = { tenant: "local", name: "test" };
type Negotiation = Extract<VersionNegotiationOptions["mode"], "auto" | "legacy">;

describe("the tools for models", () => {
  let core: DoubleSandboxes;
  let port: HttpPort;
  let single: HttpPort;
  before(async () => {
    core = await DoubleSandboxes.open();
    port = await openHttpPort([mcpProtocol(core, log)], caller);
    const { id } = await core.create(caller, { template: "base", env: {}, metadata: {}, mounts: [] });
    single = await openHttpPort([mcpProtocol(core, log, () => Promise.resolve(id))], caller);
  });
  after(async () => {
    await port.close();
    await single.close();
    await core.close();
  });

  const overHttp = async (at: HttpPort, mode: Negotiation): Promise<Client> => {
    const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode } });
    await client.connect(new StreamableHTTPClientTransport(new URL(`${at.url}/mcp`)));
    return client;
  };
  const overStdio = async (at: HttpPort, mode: Negotiation): Promise<Client> => {
    const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode } });
    const args = ["--import=tsx", "src/main.ts", "mcp", "--endpoint", `127.0.0.1:${at.port}`];
    await client.connect(new StdioClientTransport({ command: process.execPath, args, cwd: projectDirectory }));
    return client;
  };

  const ways = [
    { name: "over HTTP", connect: overHttp, mode: "auto" },
    { name: "over HTTP, as in 2025", connect: overHttp, mode: "legacy" },
    { name: "by stdio", connect: overStdio, mode: "auto" },
    { name: "by stdio, as in 2025", connect: overStdio, mode: "legacy" },
  ] as const;
  for (const { name, connect, mode } of ways) {
    it(`make a sandbox, run in it, move files and end it, ${name}`, async function () {
      this.timeout(30_000);
      const client = await connect(port, mode);
      try {
        await wholeStory(client);
      } finally {
        await client.close();
      }
    });
  }

  async function wholeStory(client: Client): Promise<void> {
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name)).to.have.members([
      ...["create_sandbox", "delete_sandbox", "execute_command"],
      ...["upload_file", "download_file", "list_files", "file_exists"],
    ]);
    const made = await answerOf(client, "create_sandbox", { template: "base", timeout_seconds: 60 });
    const id = z.object({ sandbox_id: z.string() }).parse(made).sandbox_id;
    const of = { sandbox_id: id };
    const run = { ...of, command: "echo out; echo err >&2; exit 3" };
    expect(await answerOf(client, "execute_command", run)).to.deep.include({
      stdout: "out\n",
      stderr: "err\n",
      exit_code: 3,
    });
    await answerOf(client, "upload_file", { ...of, path: "a/b.txt", content: "päge\n" });
    expect(await answerOf(client, "download_file", { ...of, path: "a/b.txt" })).to.deep.include({
      content: "päge\n",
      encoding: "utf-8",
      truncated: false,
    });
    await answerOf(client, "upload_file", { ...of, path: "raw", content_base64: "/wD+" });
    expect(await answerOf(client, "download_file", { ...of, path: "raw" })).to.deep.include({
      content: "/wD+",
      encoding: "base64",
    });
    expect(await answerOf(client, "list_files", { ...of, path: "." })).to.deep.include({ total_entries: 2 });
    expect(await answerOf(client, "file_exists", { ...of, path: "raw" })).to.deep.equal({ exists: true });
    expect(await answerOf(client, "file_exists", { ...of, path: "gone" })).to.deep.equal({ exists: false });
    const listed = await client.readResource({ uri: "a3s-box://sandboxes" });
    expect(JSON.stringify(listed.contents)).to.contain(id);
    await answerOf(client, "delete_sandbox", of);
    const again = await client.callTool({ name: "delete_sandbox", arguments: of });
    expect(again.isError).to.equal(true);
  }

  it("leave sandboxes be where there is one for all", async () => {
    const client = await overHttp(single, "auto");
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name)).to.not.include.members(["create_sandbox", "delete_sandbox"]);
    expect(await answerOf(client, "execute_command", { command: "echo here" })).to.deep.include({ stdout: "here\n" });
    await client.close();
  });

  it("write no file of what is no base64, and say what is wrong with it", async () => {
    const client = await overHttp(single, "auto");
    const upload = async (content_base64: string): Promise<string> => {
      const answer = await client.callTool({ name: "upload_file", arguments: { path: "odd", content_base64 } });
      return answer.isError === true ? JSON.stringify(answer.content) : "written";
    };
    const refused = ["print('hello')", "aGVsbG8$", "aGVsb", "aG=VsbG8=", "data:text/plain;base64,aGVsbG8=", "a==="];
    for (const text of refused) expect(await upload(text), text).to.match(/content_base64 is no base64.*content/);
    expect(await answerOf(client, "file_exists", { path: "odd" })).to.deep.equal({ exists: false });
    for (const text of ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=\r\n", ""]) {
      expect(await upload(text), text).to.equal("written");
      const { content } = z
        .object({ content: z.string() })
        .parse(await answerOf(client, "download_file", { path: "odd" }));
      expect(content, text).to.equal(text === "" ? "" : "hello");
    }
    await client.close();
  });

  it("give the beginning and the end of long output, and say so", async () => {
    const client = await overHttp(single, "auto");
    const answer = z
      .object({ stdout: z.string(), truncated: z.boolean() })
      .parse(await answerOf(client, "execute_command", { command: "seq 1 100000" }));
    expect(answer.truncated).to.equal(true);
    expect(answer.stdout.length).to.be.lessThan(66_000);
    expect(answer.stdout)
      .to.match(/^1\n2\n/)
      .and.match(/\n99999\n100000\n$/)
      .and.contain("bytes left out");
    await client.close();
  });

  it("answer what is wrong with what to do, and refuse input beyond their schemas", async () => {
    const client = await overHttp(port, "auto");
    const missing = await client.callTool({ name: "execute_command", arguments: { command: "true" } });
    expect(missing.isError).to.equal(true);
    expect(JSON.stringify(missing.content)).to.contain("create_sandbox gives one");
    for (const wrong of [
      { name: "execute_command", arguments: { command: "" } },
      { name: "execute_command", arguments: { command: "true", timeout_seconds: 1e9 } },
      { name: "download_file", arguments: { path: "x".repeat(5000) } },
      { name: "list_files", arguments: { path: ".", max_entries: 0 } },
    ]) {
      const refused = await client.callTool(wrong).catch((thrown: unknown) => ({ isError: true, thrown }));
      expect(refused.isError, wrong.name).to.equal(true);
    }
    await client.close();
  });

  it("are nobody's without a token, and are asked for in the transport's ways alone", async () => {
    const closed = await openHttpPort([mcpProtocol(core, log)]);
    try {
      const answer = await fetch(`${closed.url}/mcp`, { method: "POST", body: "{}" });
      expect([answer.status, answer.headers.get("www-authenticate")]).to.deep.equal([401, "Bearer"]);
      const traced = await new Promise((resolve, reject) => {
        httpRequest(`${port.url}/mcp`, { method: "TRACE" }, ({ statusCode }) => {
          resolve(statusCode);
        })
          .on("error", reject)
          .end();
      });
      expect(traced).to.equal(405);
    } finally {
      await closed.close();
    }
  });

  it("end a command whose client has gone", async () => {
    const client = await overHttp(single, "auto");
    const stop = new AbortController();
    const running = client
      .callTool({ name: "execute_command", arguments: { command: "exec sleep 4711" } }, { signal: stop.signal })
      .catch((thrown: unknown) => thrown);
    const { id } = core.list(caller, {}, { limit: 1 }).items[0] ?? {};
    const list = (): readonly unknown[] => core.processes(caller, id ?? "").list();
    await eventually("it runs", 5_000, () => Promise.resolve(list().length === 1 ? true : undefined));
    stop.abort();
    expect(await running).to.be.instanceOf(Error);
    await eventually("it is killed and forgotten", 5_000, () =>
      Promise.resolve(list().length === 0 ? true : undefined),
    );
    await client.close();
  });
});

async function answerOf(client: Client, name: string, given: Record<string, unknown>): Promise<unknown> {
  const { isError, structuredContent, content } = await client.callTool({ name, arguments: given });
  if (isError === true) throw new Error(JSON.stringify(content));
  return structuredContent;
}
