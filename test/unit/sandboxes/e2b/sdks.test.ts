/** The published table of E2B's calls, against the SDKs that are installed: by their names, and where it says no by calling them. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Sandbox as CodeSandbox } from "@e2b/code-interpreter";
import { expect } from "chai";
import { Sandbox, type SandboxOpts, Secret, Template, Volume, waitForPort } from "e2b";
import * as z from "zod";
import { createLogger } from "../../../../src/base/log.js";
import { e2b, type E2b } from "../../../../src/sandboxes/e2b/e2b.js";
import { rowsIn, textOf } from "../../../support/documents.js";
import { projectDirectory } from "../../../support/project.js";
import { DoubleSandboxes } from "../../../support/sandboxes/double.js";
import { openHttpPort, type HttpPort } from "../../../support/sandboxes/http-port.js";
import { skipBecause } from "../../../support/skip.js";

const document = "docs/guide/e2b.md";
const python = join(projectDirectory, "build/assets/python-clients/bin/python");

/** Not for apps: protected in the types, or of the class itself. */
const internal = new Set([
  ...["constructor", "length", "name", "prototype", "defaultTemplate", "defaultMcpTemplate"],
  ...["resolveApiOpts", "resolveOpts", "boundOpts", "fileUrl", "createSandbox", "forkSandbox", "connectSandbox"],
  ...["jupyterUrl", "getJupyterRequestUrl", "includeDiagnostics", "handleRequestError", "supportsStdinClose", "start"],
]);
const internalInPython = new Set([
  ...["commands", "files", "pty", "git", "sandbox_id", "sandbox_domain", "traffic_access_token", "connection_config"],
  ...[
    "default_template",
    "default_mcp_template",
    "default_sandbox_timeout",
    "envd_api_url",
    "envd_direct_url",
    "mcp_port",
  ],
]);

/** `what.name` of the first column: the word before the point holds until there is another one. */
async function published(): Promise<Map<string, Set<string>>> {
  const all = new Map<string, Set<string>>();
  for (const [call = ""] of rowsIn(await textOf(document))) {
    let what = "";
    for (const [, code = ""] of call.startsWith("…") ? [] : call.matchAll(/`([^`]+)`/g)) {
      const [, object = what, name = ""] = /^(?:([A-Za-z]+)\.)?([A-Za-z_]+)$/.exec(code) ?? [];
      what = object;
      if (what !== "" && name !== "") all.set(what, (all.get(what) ?? new Set<string>()).add(name));
    }
  }
  return all;
}

function methodsOf(...holders: readonly object[]): string[] {
  const names = new Set<string>();
  for (const holder of holders) {
    for (
      let one: object | null = holder;
      one !== null;
      one = z.custom<object | null>().parse(Object.getPrototypeOf(one))
    ) {
      if (one === Object.prototype || one === Function.prototype) break;
      for (const name of Object.getOwnPropertyNames(one)) if (!internal.has(name)) names.add(name);
    }
  }
  return [...names].sort();
}

function inSnake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

describe("the table of E2B's calls", () => {
  let edge: E2b;
  let sandboxes: DoubleSandboxes;
  let port: HttpPort;
  let at: { apiKey: string; apiUrl: string; sandboxUrl: string; retries: number };

  before(async () => {
    sandboxes = await DoubleSandboxes.open();
    edge = e2b({ sandboxes, log: createLogger("error"), templates: ["base"] });
    port = await openHttpPort(edge.protocols);
    at = { apiKey: "team", apiUrl: port.url, sandboxUrl: port.url, retries: 0 };
  });

  after(async () => {
    edge.close();
    await port.close();
    await sandboxes.close();
  });

  it("is of the versions that are installed", async () => {
    const lock = z
      .object({ packages: z.record(z.string(), z.looseObject({ version: z.string().optional() })) })
      .parse(JSON.parse(await textOf("package-lock.json"))).packages;
    const list = await textOf("test/support/python-clients/e2b.txt");
    const inPython = (name: string): string => new RegExp(`^${name}==([\\d.]+)`, "m").exec(list)?.[1] ?? "none";
    const npm = ["e2b", "@e2b/code-interpreter"].map((name) => lock[`node_modules/${name}`]?.version ?? "none");
    const pypi = ["e2b", "e2b-code-interpreter"].map(inPython);
    expect((await textOf(document)).replaceAll(/\s+/g, " ")).to.contain(
      `Tested with npm ${npm.join(" and ")}, PyPI ${pypi.join(" and ")},`,
    );
  });

  it("has every call of the SDK for JavaScript, and none that is not there", async () => {
    const told = await published();
    const names = (what: string): string[] => [...(told.get(what) ?? [])].filter((name) => !name.includes("_")).sort();
    const sandbox = await Sandbox.create({ ...at });
    expect(names("Sandbox")).to.deep.equal(methodsOf(CodeSandbox, CodeSandbox.prototype));
    for (const what of ["commands", "files", "pty"] as const) {
      expect(names(what), what).to.deep.equal(
        methodsOf(z.custom<object>().parse(Object.getPrototypeOf(sandbox[what]))),
      );
    }
  });

  it("has every call of the SDK for Python, and none that is not there", async function () {
    if (!existsSync(python)) skipBecause(this, "E2B's Python SDKs could not be installed by the set-up");
    this.timeout(30_000);
    const { stdout } = await promisify(execFile)(python, ["-B", join(import.meta.dirname, "sdk_names.py")]);
    const there = z.record(z.string(), z.array(z.string())).parse(JSON.parse(stdout));
    const told = await published();
    /** In its own words where they are not JavaScript's. */
    const other: Readonly<Record<string, string>> = { "pty.send_input": "pty.send_stdin" };
    const notInPython = ["Sandbox.get_full_info"];
    for (const [what, names] of Object.entries(there)) {
      const wanted = [...(told.get(what) ?? [])].map((name) => `${what}.${inSnake(name)}`);
      const spelled = wanted.filter((name) => !notInPython.includes(name)).map((name) => other[name] ?? name);
      const have = names.filter((name) => !internalInPython.has(name)).map((name) => `${what}.${name}`);
      const beyond = what === "files" ? ["files.get_new_events"] : [];
      expect([...new Set(spelled)].sort(), what).to.deep.equal([...have, ...beyond].sort());
    }
  });

  it("says no where the SDK is told so, by the name of what is not built", async () => {
    const sandbox = await Sandbox.create({ ...at });
    const create = (opts: SandboxOpts) => Sandbox.create({ ...at, ...opts });
    const pausing = { action: "pause" as const, keepMemory: false };
    const address = { address: "192.0.2.1:1080" };
    const rules = { "a.example": [{ transform: { headers: { a: "b" } } }] };
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      createSnapshot: () => sandbox.createSnapshot(),
      listSnapshots: () => Sandbox.listSnapshots({ ...at }).nextItems(),
      deleteSnapshot: () => Sandbox.deleteSnapshot("none", { ...at }),
      fork: () => sandbox.fork(),
      "pause, the disk alone": () => sandbox.pause({ keepMemory: false }),
      "connect with a boot": () => Sandbox.connect(sandbox.sandboxId, { ...at, onResume: "reboot" }),
      "a pause of the disk alone at the end": () => create({ lifecycle: { onTimeout: pausing } }),
      autoResume: () => create({ lifecycle: { onTimeout: "pause", autoResume: true } }),
      volumeMounts: () => create({ volumeMounts: { "/v": "v" } }),
      mcp: () => create({ mcp: { exa: { apiKey: "k" } } }),
      allowPublicTraffic: () => create({ network: { allowPublicTraffic: true } }),
      maskRequestHost: () => create({ network: { maskRequestHost: "a.example" } }),
      httpsPorts: () => create({ network: { httpsPorts: [8443] } }),
      egressProxy: () => create({ network: { egressProxy: address } }),
      rules: () => create({ network: { allowOut: ["a.example"], denyOut: ["0.0.0.0/0"], rules } }),
      "updateNetwork with a proxy": () => sandbox.updateNetwork({ egressProxy: address }),
      "Template.build": () =>
        Template.build(Template().fromImage("x").setStartCmd("a", waitForPort(1)), "t", { ...at }),
      "Template.getTags": () => Template.getTags("t", { ...at }),
      Volume: () => Volume.create("v", { ...at }),
      Secret: () => Secret.create("s", "value", { ...at }),
    };
    for (const [what, call] of Object.entries(calls)) {
      const failure = await call().then(
        (answer) => `it succeeded: ${JSON.stringify(answer)}`,
        (thrown: unknown) => String(thrown),
      );
      expect(failure, what).to.match(/not built/);
    }
    expect((await create({ network: { allowPublicTraffic: false } })).trafficAccessToken).to.match(/^[a-f0-9]{64}$/);
    expect([await Template.exists("base", { ...at }), await Template.exists("none", { ...at })]).to.deep.equal([
      true,
      false,
    ]);
  });
});
