/**
 * The newcomer's page as it is typed: what `npm run quickstart -- --sandboxes` does once it has set up, and E2B's SDKs as they are
 * published on the images that the product makes from the distribution's packages, with nothing told to them but an address.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Sandbox as CodeSandbox } from "@e2b/code-interpreter";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { expect } from "chai";
import { FileType, Sandbox } from "e2b";
import * as z from "zod";
import { serveSandboxes } from "../../scripts/quickstart/serve-sandboxes.js";
import { driver } from "../support/daemon.js";
import { codeBlocksOf, textOf } from "../support/documents.js";
import { projectDirectory } from "../support/project.js";
import { freePort } from "../support/free-port.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";

const python = join(projectDirectory, "build/assets/python-clients/bin/python");
const run = promisify(execFile);

const inPython = `
from e2b import Sandbox
from e2b_code_interpreter import Sandbox as CodeSandbox

with Sandbox.create() as sandbox:
    print(sandbox.commands.run("id -un; pwd").stdout.split())
    sandbox.files.write("project/file", "text")
    sandbox.git.init("project")
    sandbox.git.configure_user("n", "e@x.example", scope="local", path="project")
    sandbox.git.add("project")
    sandbox.git.commit("project", "one")
    print(sandbox.git.status("project").is_clean)
with CodeSandbox.create() as sandbox:
    sandbox.run_code("x = 6")
    print(sandbox.run_code("x * 7").text)
`;

describe("the first sandbox of a newcomer", function () {
  this.timeout(limit(180_000));
  const stop = new AbortController();
  const said: string[] = [];
  let over: Promise<number> = Promise.resolve(-1);
  let port = 0;
  let env: Record<string, string> = {};

  before("what the first command does after the set-up", async () => {
    port = await freePort();
    const url = `http://localhost:${String(port)}`;
    env = { E2B_API_KEY: "any", E2B_API_URL: url, E2B_SANDBOX_URL: url };
    Object.assign(process.env, env);
    const context = { signal: stop.signal, root: projectDirectory, cache: "", say: (line: string) => said.push(line) };
    await new Promise<void>((served, failed) => {
      over = serveSandboxes(context, { driver, port, served });
      over.catch(failed);
    });
  });

  after(async () => {
    for (const name of Object.keys(env)) Reflect.deleteProperty(process.env, name);
    stop.abort();
    await over;
  });

  /** As it stands on the page, but for the port; where the SDKs are installed. */
  const typed = async (program: string): Promise<string> => {
    const here = program.replaceAll(":4088", `:${String(port)}`);
    return (await run("bash", ["-c", here], { cwd: projectDirectory })).stdout;
  };

  it("is had by three commands, and its code by one more", async () => {
    const blocks = codeBlocksOf(await textOf("docs/guide/first-sandbox.md")).map(({ text }) => text.trim());
    const [first = "", second = "", third = "", code = "", ...more] = blocks;
    expect([first, more]).to.deep.equal(["npm run quickstart -- --sandboxes", []]);
    expect(second).to.equal("npm install e2b @e2b/code-interpreter");
    expect(said.at(-2)).to.contain(`served at http://localhost:${String(port)}`);
    expect(await typed(third)).to.match(/^42 by user in Linux \d+\.\d+\S*\n/);
    expect(await typed(code)).to.equal("42\n");
  });

  it("has what an agent's shell reaches for, with E2B's SDK", async () => {
    const sandbox = await Sandbox.create();
    try {
      const { templateId, cpuCount, memoryMB } = await sandbox.getInfo();
      expect([templateId, cpuCount, memoryMB]).to.deep.equal(["base", 2, 2048]);
      const ran = await sandbox.commands.run(
        "id -un; pwd; echo $0; python3 -c 'print(6 * 7)'; git --version; curl --version",
      );
      expect(ran.stdout).to.match(/^user\n\/home\/user\n.*bash\n42\ngit version 2.*\ncurl 8/);
      expect((await sandbox.commands.run("id -u", { user: "root" })).stdout).to.equal("0\n");
      await sandbox.files.write("project/main.py", "print(open('data').read() + '!')");
      await sandbox.files.write("project/data", "é");
      expect((await sandbox.commands.run("python3 main.py", { cwd: "project" })).stdout).to.equal("é!\n");
      const [data] = await sandbox.files.list("project");
      expect(data).to.include({ name: "data", type: FileType.FILE, owner: "user", path: "/home/user/project/data" });
      const background = await sandbox.commands.run("python3 -m http.server 8000", { background: true, timeoutMs: 0 });
      const get = "until curl -fs localhost:8000/project/data; do sleep 0.1; done";
      expect((await sandbox.commands.run(get)).stdout).to.equal("é");
      expect(await background.kill()).to.equal(true);
    } finally {
      await sandbox.kill();
    }
  });

  it("runs code in contexts, with its output as it comes, its results and its errors", async () => {
    const sandbox = await CodeSandbox.create({ envs: { GREETING: "hello" } });
    try {
      const seen: string[] = [];
      const program = "import os, sys\nprint(os.environ['GREETING'])\nprint('bad', file=sys.stderr)\nx = 40\nx + 2";
      const onStdout = ({ line }: { line: string }): void => void seen.push(line);
      const ran = await sandbox.runCode(program, { onStdout });
      expect([ran.text, ran.logs.stdout.join(""), ran.logs.stderr.join("")]).to.deep.equal(["42", "hello\n", "bad\n"]);
      expect(seen.join("")).to.equal("hello\n");
      const failed = await sandbox.runCode("x / 0");
      expect([failed.error?.name, failed.error?.value]).to.deep.equal(["ZeroDivisionError", "division by zero"]);
      const html = await sandbox.runCode("class A:\n  def _repr_html_(self): return '<b>1</b>'\nA()");
      expect(html.results[0]?.html).to.equal("<b>1</b>");
      const context = await sandbox.createCodeContext({ cwd: "/tmp" });
      expect((await sandbox.runCode("import os; os.getcwd()", { context })).text).to.equal("'/tmp'");
      expect((await sandbox.runCode("x", { context })).error?.name).to.equal("NameError");
      expect((await sandbox.listCodeContexts()).map(({ id }) => id)).to.include(context.id);
      await sandbox.runCode("y = 1", { context });
      await sandbox.restartCodeContext(context);
      expect((await sandbox.runCode("y", { context })).error?.name).to.equal("NameError");
      await sandbox.removeCodeContext(context);
      expect((await sandbox.listCodeContexts()).map(({ id }) => id)).to.not.include(context.id);
      expect((await sandbox.runCode("echo $((6 * 7))", { language: "bash" })).logs.stdout.join("")).to.equal("42\n");
      expect((await sandbox.commands.run("pwd")).stdout).to.equal("/home/user\n");
    } finally {
      await sandbox.kill();
    }
  });

  it("is had in Python as well", async function () {
    if (!existsSync(python)) skipBecause(this, "E2B's Python SDKs could not be installed by the set-up");
    const { stdout } = await run(python, ["-B", "-c", inPython]);
    expect(stdout).to.equal("['user', '/home/user']\nTrue\n42\n");
  });

  for (const mode of ["auto", "legacy"] as const) {
    const ways = {
      HTTP: () => new StreamableHTTPClientTransport(new URL(`http://localhost:${String(port)}/mcp`)),
      stdio: () => {
        const args = ["dist/main.js", "mcp", "--endpoint", `localhost:${String(port)}`];
        return new StdioClientTransport({ command: process.execPath, args, cwd: projectDirectory });
      },
    };
    for (const [way, transport] of Object.entries(ways)) {
      it(`has tools for models, by the protocol's own client and ${way} (${mode})`, async () => {
        const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode } });
        await client.connect(transport());
        const call = async (name: string, args: Record<string, string>): Promise<unknown> => {
          const { isError, structuredContent, content } = await client.callTool({ name, arguments: args });
          expect(isError, JSON.stringify(content)).to.not.equal(true);
          return structuredContent;
        };
        try {
          const made = z.object({ sandbox_id: z.string() }).parse(await call("create_sandbox", { template: "base" }));
          const given = { sandbox_id: made.sandbox_id };
          await call("upload_file", { ...given, path: "a.py", content: "print(6 * 7); raise SystemExit(3)" });
          const ran = await call("execute_command", { ...given, command: "python3 a.py" });
          expect(ran).to.include({ exit_code: 3, stdout: "42\n" });
          await call("delete_sandbox", given);
        } finally {
          await client.close();
        }
      });
    }
  }

  it("goes with Ctrl-C, and leaves nothing", async () => {
    await Sandbox.create();
    stop.abort();
    expect(await over).to.equal(0);
    expect(said.filter((line) => /left|could not|not removed/.test(line))).to.deep.equal([]);
  });
});
