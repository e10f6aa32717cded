import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import { Interpreter, ofType, written } from "../../support/interpreter.js";
import { eventually } from "../../support/wait.js";

const end = { type: "end_of_execution" };

describe("the code interpreter", () => {
  let interpreter: Interpreter;
  before(async () => {
    interpreter = await Interpreter.start();
  });
  after(() => interpreter.stop());

  it("says that it is there", async () => {
    const answer = await interpreter.ask("GET", "/health");
    expect(answer.status).to.equal(200);
    await answer.text();
  });

  it("keeps names from one piece of code to the next, and counts them", async () => {
    const context_id = await interpreter.context();
    expect(await interpreter.execute({ context_id, code: "x = 20" })).to.deep.equal([
      { type: "number_of_executions", execution_count: 1 },
      end,
    ]);
    expect(await interpreter.execute({ context_id, code: "x += 1\nx * 2" })).to.deep.equal([
      { type: "number_of_executions", execution_count: 2 },
      { type: "result", text: "42", is_main_result: true },
      end,
    ]);
    const other = await interpreter.execute({ context_id: await interpreter.context(), code: "x" });
    expect(ofType(other, "error")[0]).to.include({ name: "NameError", value: "name 'x' is not defined" });
  });

  it("streams what code and its children write, in the order of results and errors", async () => {
    const events = await interpreter.execute(
      "import os, sys\nprint('one')\nos.system('echo two')\ndisplay('three')\nprint('four')\n" +
        "print('five', file=sys.stderr)\nsys.stdout.write('six')\n1 / 0",
    );
    const seen = events
      .filter(({ type }) => type !== "stderr")
      .map((event) => [event["text"], event["name"]].filter((text) => typeof text === "string").join(""));
    expect(seen.join("")).to.match(/^one\ntwo\n'three'four\nsixZeroDivisionError$/);
    expect(written(events, "stderr")).to.equal("five\n");
    expect(events[0]).to.include({ type: "number_of_executions" });
    expect(events.at(-1)).to.deep.equal(end);
  });

  it("gives an error its name, its text and a traceback of the code alone", async () => {
    const [error] = ofType(await interpreter.execute("def f():\n    return {}['key']\nf()"), "error");
    expect(error).to.include({ name: "KeyError", value: "'key'" });
    expect(String(error?.["traceback"])).to.match(
      /^Traceback[\s\S]*line 3, in <module>\n {4}f\(\)[\s\S]*KeyError: 'key'\n$/,
    );
    expect(String(error?.["traceback"])).not.to.contain("kernel.py");
    const [wrong] = ofType(await interpreter.execute("a b"), "error");
    expect(wrong).to.include({ name: "SyntaxError" });
  });

  it("shows results by all that they say of themselves, and one that fails by the rest", async () => {
    const events = await interpreter.execute(
      "class A:\n  def __repr__(self): return 'A'\n  def _repr_html_(self): return '<b>'\n" +
        "  def _repr_png_(self): return b'png'\n  def _repr_svg_(self): raise ValueError\ndisplay(A())\nA()",
    );
    const shown = { type: "result", text: "A", html: "<b>", png: "cG5n" };
    expect(ofType(events, "result")).to.deep.equal([
      { ...shown, is_main_result: false },
      { ...shown, is_main_result: true },
    ]);
    expect(ofType(await interpreter.execute("5;"), "result")).to.deep.equal([]);
    expect(ofType(await interpreter.execute("import asyncio\nawait asyncio.sleep(0, 7)"), "result")[0]).to.include({
      text: "7",
    });
  });

  it("shows the figures that code has drawn and not shown by itself, by a matplotlib that keeps to its interface", async () => {
    const code = [
      "import sys, types",
      "class Figure:",
      "  def __repr__(self): return 'Figure'",
      "  def savefig(self, to, **how): to.write(how['format'].encode())",
      "Figure.__module__ = 'matplotlib.figure'",
      "open_figures = [Figure(), Figure()]",
      "plt = types.SimpleNamespace(get_fignums=lambda: range(len(open_figures)), figure=lambda n: open_figures[n],",
      "  close=lambda which: open_figures.clear())",
      "sys.modules['matplotlib.pyplot'] = plt",
      "open_figures[1]",
    ].join("\n");
    const context_id = await interpreter.context();
    const drawn = { type: "result", text: "Figure", png: "cG5n" };
    expect(ofType(await interpreter.execute({ context_id, code }), "result")).to.deep.equal([
      { ...drawn, is_main_result: true },
      { ...drawn, is_main_result: false },
    ]);
    expect(ofType(await interpreter.execute({ context_id, code: "len(open_figures)" }), "result")[0]).to.include({
      text: "0",
    });
  });

  it("sets variables for one piece of code", async () => {
    const code = "import os\nos.environ.get('GIVEN')";
    expect(ofType(await interpreter.execute({ code, env_vars: { GIVEN: "yes" } }), "result")[0]).to.include({
      text: "'yes'",
    });
    expect(ofType(await interpreter.execute(code), "result")).to.deep.equal([]);
    const bash = await interpreter.execute({ code: "echo $GIVEN", language: "bash", env_vars: { GIVEN: "too" } });
    expect(written(bash, "stdout")).to.equal("too\n");
  });

  it("runs bash, whose exit status is an error", async () => {
    const context_id = await interpreter.context({ language: "bash", cwd: "/usr" });
    const events = await interpreter.execute({ context_id, code: "pwd; echo err >&2; exit 3" });
    expect(written(events, "stdout")).to.equal("/usr\n");
    expect(written(events, "stderr")).to.equal("err\n");
    expect(ofType(events, "error")[0]).to.include({ value: "exit status 3" });
  });

  it("passes on a large output whole, with what is no UTF-8 replaced", async () => {
    const events = await interpreter.execute(
      "import os\nfor n in range(40): os.write(1, b'\\0ab\\xc3\\xa4' * 20000)\nos.write(1, b'\\xff!')\nNone",
    );
    expect(written(events, "stdout")).to.equal("\0abä".repeat(800_000) + "\ufffd!");
  });

  it("goes on with a new kernel when code has ended it", async () => {
    const context_id = await interpreter.context();
    const events = await interpreter.execute({ context_id, code: "import os\nprint('last')\nos._exit(3)" });
    expect(written(events, "stdout")).to.equal("last\n");
    expect(ofType(events, "error")[0]).to.include({ name: "KernelDied" });
    expect(ofType(await interpreter.execute({ context_id, code: "1" }), "result")[0]).to.include({ text: "1" });
  });

  it("lists, restarts and deletes contexts, whatever runs in them", async () => {
    const context_id = await interpreter.context({ cwd: "/" });
    const listed: unknown = await (await interpreter.ask("GET", "/contexts")).json();
    expect(listed).to.deep.include({ id: context_id, language: "python", cwd: "/" });
    await interpreter.execute({ context_id, code: "x = 1" });
    const running = interpreter.execute({ context_id, code: "import time\nprint('on')\ntime.sleep(600)" });
    await busy(context_id);
    expect((await interpreter.ask("POST", `/contexts/${context_id}/restart`)).status).to.equal(204);
    expect(ofType(await running, "error")[0]).to.include({ name: "KernelDied" });
    expect(ofType(await interpreter.execute({ context_id, code: "x" }), "error")[0]).to.include({ name: "NameError" });
    expect((await interpreter.ask("DELETE", `/contexts/${context_id}`)).status).to.equal(204);
    const gone = await interpreter.ask("POST", "/execute", { context_id, code: "1" });
    expect([gone.status, await gone.text()]).to.deep.equal([404, `Context ${context_id} not found`]);
  });

  it("has a new kernel at once after a restart, while the one before is still ending", async () => {
    const context_id = await interpreter.context();
    // What has much memory takes a while to end.
    await interpreter.execute({ context_id, code: "x = b'x' * (400 << 20)" });
    expect((await interpreter.ask("POST", `/contexts/${context_id}/restart`)).status).to.equal(204);
    expect(ofType(await interpreter.execute({ context_id, code: "x" }), "error")[0]).to.include({ name: "NameError" });
  });

  it("interrupts code when its client has gone, and keeps the names", async () => {
    const context_id = await interpreter.context();
    await interpreter.execute({ context_id, code: "x = 'kept'" });
    const client = new AbortController();
    const code = "import time\nprint('on', flush=True)\ntime.sleep(600)";
    const answer = await interpreter.ask("POST", "/execute", { context_id, code }, client.signal);
    expect(answer.status).to.equal(200);
    client.abort();
    await answer.text().catch(() => undefined);
    expect(ofType(await interpreter.execute({ context_id, code: "x" }), "result")[0]).to.include({ text: "'kept'" });
  });

  it("refuses what is no request, each with its reason", async () => {
    const context_id = await interpreter.context();
    const cases: [string, string, unknown, number][] = [
      ["POST", "/execute", "{", 400],
      ["POST", "/execute", "[]", 400],
      ["POST", "/execute", {}, 400],
      ["POST", "/execute", { code: 1 }, 400],
      ["POST", "/execute", { code: "1", language: "cobol" }, 400],
      ["POST", "/execute", { code: "1", language: "python", context_id }, 400],
      ["POST", "/execute", { code: "1", env_vars: { A: 1 } }, 400],
      ["POST", "/execute", { code: "1", env_vars: { "A=B": "1" } }, 400],
      ["POST", "/contexts", { cwd: "/not/there" }, 400],
      ["DELETE", "/contexts/none", undefined, 404],
      ["POST", "/contexts/none/restart", undefined, 404],
      ["GET", "/execute", undefined, 404],
    ];
    for (const [method, path, body, status] of cases) {
      const answer = await interpreter.ask(method, path, body);
      expect([answer.status, (await answer.text()) !== ""], `${method} ${path} ${JSON.stringify(body)}`).to.deep.equal([
        status,
        true,
      ]);
    }
    const odd = await interpreter.execute({ code: "echo \0", language: "bash" });
    expect(ofType(odd, "error")[0]).to.include({ name: "KernelFailed" });
    expect(ofType(await interpreter.execute("'\ud800'"), "error")).to.have.length(1);
  });

  /** Until another execution in the context would have to wait. */
  async function busy(context_id: string): Promise<void> {
    await eventually("the code runs", 5_000, async () => {
      const client = AbortSignal.timeout(300);
      const answer = await interpreter.ask("POST", "/execute", { context_id, code: "1" }, client);
      return await answer.text().then(
        () => undefined,
        () => true,
      );
    });
  }
});
