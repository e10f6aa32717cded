/**
 * Lives of sandboxes as clients of all protocols give them: programs and files come and go, connections are made and cut, a
 * sandbox is replaced now and then. What it does is undone by itself, so that what is left of it would be a leak.
 */
import { expect } from "chai";
import { randomInt } from "node:crypto";
import { Agent, fetch } from "undici";
import { Edge } from "../../../src/cli/client/connect.js";
import { findEndpoint } from "../../../src/cli/client/endpoint.js";
import { FileServiceService as files, type WriteFileRequest } from "../../../src/gen/sandboxes/v1/files.js";
import { ProcessServiceService as processes } from "../../../src/gen/sandboxes/v1/processes.js";
import { SandboxServiceService as service } from "../../../src/gen/sandboxes/v1/sandboxes.js";

/** Programs that each sandbox has all the time. */
export const heldOfEach = 4;
const fileBytes = 64 * 1024;
const partBytes = 16 * 1024;
const nothingSaid = { metadata: {}, states: [], template: "", startedAfter: undefined, pageToken: "" };
const usual = { env: {}, workingDir: "", user: "", terminal: undefined, tag: "", limitMs: 0n, startId: "" };

interface Held {
  readonly id: string;
  /** Numbers of its programs. */
  readonly programs: number[];
  /** In one of ten programs that have ended are kept, up to the most that the daemon keeps. */
  readonly keeps: boolean;
}

export class Churn {
  readonly #socket: string;
  readonly #edge: Edge;
  readonly #sandboxes: Held[] = [];
  /** Nobody works in one while it is replaced. */
  readonly #busy = new Set<Held>();
  readonly done = new Map<string, number>();

  private constructor(socket: string, edge: Edge) {
    this.#socket = socket;
    this.#edge = edge;
  }

  static async connect(socket: string): Promise<Churn> {
    return new Churn(socket, await connected(socket));
  }

  async fill(count: number): Promise<void> {
    // Some at a time: all at once each would wait for all others.
    let left = count;
    const make = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await this.#add(left % 10 === 0);
      }
    };
    await Promise.all([make(), make(), make(), make(), make()]);
  }

  /** One after the other, until the time is over. */
  async work(signal: AbortSignal): Promise<void> {
    const turns: readonly (readonly [string, (held: Held) => Promise<void>])[] = [
      ["program", (held) => this.#program(held)],
      ["held program replaced", (held) => this.#replaceProgram(held)],
      ["file", (held) => this.#file(held)],
      ["upload cut", (held) => this.#cutUpload(held)],
      ["reader cut", (held) => this.#cutReader(held)],
      ["watch", (held) => this.#watch(held)],
      ["client of gRPC", () => this.#client()],
      ["clients of HTTP", () => this.#http()],
      ["port", (held) => this.#port(held)],
    ];
    while (!signal.aborted) {
      const free = this.#sandboxes.filter((held) => !this.#busy.has(held));
      const held = free[randomInt(free.length)];
      const [name, turn] = turns[randomInt(turns.length)] ?? [];
      if (held === undefined || name === undefined || turn === undefined) continue;
      this.#busy.add(held);
      try {
        await turn(held);
      } finally {
        this.#busy.delete(held);
      }
      this.#count(name);
    }
  }

  /** Ends the oldest and makes another. */
  async replace(): Promise<void> {
    const held = this.#sandboxes.find((one) => !this.#busy.has(one));
    if (held === undefined) return;
    this.#sandboxes.splice(this.#sandboxes.indexOf(held), 1);
    await this.#edge.call(service.endSandbox, { sandboxId: held.id });
    await this.#add(held.keeps);
    this.#count("sandbox replaced");
  }

  /** All that are there end, whoever works in them; the connection too. */
  async end(): Promise<void> {
    for (;;) {
      const { sandboxes } = await this.#edge.call(service.listSandboxes, { ...nothingSaid, pageSize: 100 });
      if (sandboxes.length === 0) break;
      for (const { id } of sandboxes) await this.#edge.call(service.endSandbox, { sandboxId: id });
    }
    this.#edge[Symbol.dispose]();
  }

  async programs(): Promise<number> {
    let running = 0;
    for (const { id } of this.#sandboxes) {
      const listed = await this.#edge.call(processes.listProcesses, { sandboxId: id });
      running += listed.processes.filter(({ exit }) => exit === undefined).length;
    }
    return running;
  }

  #count(name: string): void {
    this.done.set(name, (this.done.get(name) ?? 0) + 1);
  }

  async #add(keeps: boolean): Promise<void> {
    const said = { template: "base", env: {}, metadata: {}, mounts: [] };
    const { sandbox } = await this.#edge.call(service.createSandbox, { ...said, network: 0, atEnd: 0 });
    const held: Held = { id: sandbox?.id ?? "", programs: [], keeps };
    while (held.programs.length < heldOfEach) held.programs.push(await this.#start(held));
    this.#sandboxes.push(held);
  }

  /** It prints a line, then waits for one. */
  async #start({ id }: Held): Promise<number> {
    const args = ["sh", "-c", "echo here; read x"];
    const { process } = await this.#edge.call(processes.startProcess, { sandboxId: id, args, ...usual, stdin: true });
    return process?.id ?? 0;
  }

  async #program(held: Held): Promise<void> {
    const args = ["sh", "-c", "seq 1 1000; exit 3"];
    let id = 0;
    let bytes = 0;
    let code: number | undefined;
    const request = { start: { sandboxId: held.id, args, ...usual, stdin: false } };
    for await (const { event } of this.#edge.events(processes.runProcess, request)) {
      id = event?.process?.id ?? id;
      bytes += event?.output?.data.length ?? 0;
      code = event?.exit?.code ?? code;
    }
    expect([bytes, code]).to.deep.equal([3893, 3]);
    if (!held.keeps) await this.#forget(held, id);
  }

  async #replaceProgram(held: Held): Promise<void> {
    const [oldest = 0] = held.programs;
    const process = { id: oldest, tag: undefined };
    await this.#edge.call(processes.sendInput, { sandboxId: held.id, process, data: Buffer.from("go\n") });
    const exits: number[] = [];
    const request = { sandboxId: held.id, process, start: {} };
    for await (const { event } of this.#edge.events(processes.connectProcess, request)) {
      if (event?.exit !== undefined) exits.push(event.exit.code);
    }
    expect(exits).to.deep.equal([0]);
    if (!held.keeps) await this.#forget(held, oldest);
    held.programs.shift();
    held.programs.push(await this.#start(held));
  }

  async #forget({ id }: Held, process: number): Promise<void> {
    await this.#edge.call(processes.forgetProcess, { sandboxId: id, process: { id: process, tag: undefined } });
  }

  async #file({ id }: Held): Promise<void> {
    const path = `/tmp/churn/${String(randomInt(1_000_000))}`;
    await this.#edge.send(files.writeFile, parts(id, path, true));
    let bytes = 0;
    const asked = { sandboxId: id, path, user: "", offset: 0n, length: undefined };
    for await (const { data } of this.#edge.events(files.readFile, asked)) bytes += data?.length ?? 0;
    expect(bytes).to.equal(fileBytes);
    await this.#edge.call(files.removeFile, { sandboxId: id, path, user: "", recursive: false });
  }

  async #cutUpload({ id }: Held): Promise<void> {
    using own = await connected(this.#socket);
    const path = "/tmp/churn-cut";
    const cut = await own.send(files.writeFile, parts(id, path, false)).catch((thrown: unknown) => thrown);
    expect(cut).to.be.instanceOf(Error);
    const there = await this.#edge
      .call(files.statFile, { sandboxId: id, path, user: "", follow: false })
      .catch((thrown: unknown) => thrown);
    expect(there).to.have.property("code", "notFound");
  }

  async #cutReader({ id, programs }: Held): Promise<void> {
    using own = await connected(this.#socket);
    const process = { id: programs[0], tag: undefined };
    for await (const { event } of own.events(processes.connectProcess, { sandboxId: id, process, start: {} })) {
      if (event?.output !== undefined) break;
    }
  }

  async #watch({ id }: Held): Promise<void> {
    const asked = { sandboxId: id, path: "/tmp", user: "", recursive: false };
    for await (const { started } of this.#edge.events(files.watchFiles, asked)) if (started !== undefined) break;
  }

  async #client(): Promise<void> {
    using own = await connected(this.#socket);
    const { sandboxes } = await own.call(service.listSandboxes, { ...nothingSaid, pageSize: 10 });
    expect(sandboxes).to.have.length(Math.min(10, this.#sandboxes.length));
  }

  /** E2B's list, our own, and the tools of MCP, each on a connection that goes. */
  async #http(): Promise<void> {
    const dispatcher = new Agent({ connect: { socketPath: this.#socket } });
    try {
      for (const path of ["/v2/sandboxes?limit=10", "/v1/sandboxes?page_size=10", "/v1/health"]) {
        const said = await fetch(`http://localhost${path}`, { dispatcher });
        expect([path, said.status, (await said.text()).length > 1]).to.deep.equal([path, 200, true]);
      }
      const said = await fetch("http://localhost/mcp", {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }),
        dispatcher,
      });
      expect(await said.text()).to.contain("execute_command");
    } finally {
      await dispatcher.close();
    }
  }

  /** Of a sandbox where nobody listens. */
  async #port({ id }: Held): Promise<void> {
    const dispatcher = new Agent({ connect: { socketPath: this.#socket } });
    try {
      const headers = { "e2b-sandbox-id": id, "e2b-sandbox-port": "8000" };
      const said = await fetch("http://localhost/", { dispatcher, headers });
      await said.text();
      expect(said.status).to.equal(502);
    } finally {
      await dispatcher.close();
    }
  }
}

async function connected(socket: string): Promise<Edge> {
  return await Edge.connect(await findEndpoint(`unix://${socket}`, {}));
}

/** Without its end it is cut in the middle. */
function* parts(sandboxId: string, path: string, whole: boolean): Generator<WriteFileRequest> {
  yield { open: { sandboxId, path, user: "", mode: undefined, parents: true } };
  for (let at = 0; at < fileBytes; at += partBytes) yield { data: Buffer.alloc(partBytes, "x") };
  if (!whole) throw new Error("cut");
  yield { end: {} };
}
