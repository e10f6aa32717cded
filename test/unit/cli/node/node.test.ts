/** What the chart's pods do on nodes, before an API server that keeps objects as it does: `test/kubelet/chart.test.ts` has a real one. */
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { createServer as createSocket, type Server as Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { z } from "zod";
import { packageVersion } from "../../../../src/base/version.js";
import type { HostUnits } from "../../../../src/cli/node/host-units.js";
import { NodeKeeper } from "../../../../src/cli/node/keep.js";
import { clusterApi, type KubeApi } from "../../../../src/cli/node/kube-api.js";
import { leave } from "../../../../src/cli/node/leave.js";
import { makeAuthority, type TestAuthority } from "../../../support/certificates.js";

interface Kept {
  labels: Record<string, string>;
  annotations: Record<string, string>;
  runtime: string;
  version?: number;
}
const patchSchema = z.object({
  metadata: z.object({
    resourceVersion: z.string().optional(),
    labels: z.record(z.string(), z.string().nullable()).default({}),
    annotations: z.record(z.string(), z.string().nullable()).default({}),
  }),
});
/** What the chart's nodes have that are chosen. */
const chosen = "a3s.dev/cri-node";
const daemonSetPath = "/apis/apps/v1/namespaces/a3s/daemonsets/box";
const can = "\nBoxes can be run here, by qemu.\n";
const signal = new AbortController().signal;

describe("a node of the chart's mode cri", () => {
  let authority: TestAuthority;
  let server: Server;
  let api: KubeApi;
  let base: string;
  let host: string;
  const nodes = new Map<string, Kept>();
  const changes: string[] = [];
  /** What systemd was asked for. */
  const asked: string[] = [];
  let checkSays: string;
  /** The daemon, as far as it is a socket. */
  let daemon: Socket | undefined;
  /** Of systemd, for what a start of the daemon comes to. */
  let onStart: () => Promise<void>;
  /** Releases of which the node says that something runs from them. */
  let inUse: readonly string[];
  /** Of the API server: before it looks at a request. */
  let onRequest: (method: string, url: string) => void;

  before(async () => {
    authority = await makeAuthority();
    const { certFile, keyFile } = await authority.issue("api", "IP:127.0.0.1");
    server = createServer({ cert: await readFile(certFile), key: await readFile(keyFile) }, (request, response) => {
      answer(request, response).catch((thrown: unknown) => response.writeHead(500).end(String(thrown)));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  after(async () => {
    server.close();
    await authority.remove();
  });
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), "a3s-node-"));
    host = join(base, "host");
    for (const path of ["opt", "etc/systemd/system", "run"]) await mkdir(join(host, path), { recursive: true });
    await mkdir(join(base, "tree/bin"), { recursive: true });
    await writeFile(join(base, "tree/bin/a3s-box"), "program", { mode: 0o755 });
    await content("program");
    const tokenFile = join(base, "token");
    await writeFile(tokenFile, "secret\n");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    api = { url: `https://127.0.0.1:${String(port)}`, caFile: authority.certFile, tokenFile };
    nodes.clear();
    nodes.set("one", { labels: { keep: "this" }, annotations: {}, runtime: "containerd://2.1.0" });
    for (const list of [changes, asked]) list.splice(0);
    checkSays = can;
    onStart = listen;
    inUse = [];
    onRequest = () => undefined;
  });
  afterEach(async () => {
    await end();
    await rm(base, { recursive: true });
  });

  /** Nodes alone, by merge patches; and one DaemonSet to delete. */
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "" } = request;
    const body = await text(request);
    const json = (status: number, value: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    if (request.headers.authorization !== "Bearer secret") {
      json(401, { message: "who?" });
      return;
    }
    if (method !== "GET") changes.push(`${method} ${url}`);
    onRequest(method, url);
    if (url.startsWith(daemonSetPath)) {
      json(404, { message: "not found" });
      return;
    }
    if (url.startsWith("/api/v1/nodes?")) {
      const [wanted = ""] = (new URL(url, api.url).searchParams.get("labelSelector") ?? "").split("=");
      const labelled = [...nodes].filter(([, { labels }]) => wanted in labels);
      json(200, { items: labelled.map(([name, kept]) => shown(name, kept)) });
      return;
    }
    const name = url.replace("/api/v1/nodes/", "");
    const kept = nodes.get(name);
    if (kept === undefined) {
      json(404, { message: "not found" });
      return;
    }
    if (method === "PATCH") {
      expect(request.headers["content-type"]).to.equal("application/merge-patch+json");
      const { metadata } = patchSchema.parse(JSON.parse(body));
      const { version = 1 } = kept;
      if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== String(version)) {
        json(409, { message: "the object has been modified" });
        return;
      }
      kept.version = version + 1;
      merge(kept.labels, metadata.labels);
      merge(kept.annotations, metadata.annotations);
    }
    json(200, shown(name, kept));
  }

  const shown = (name: string, { labels, annotations, runtime, version = 1 }: Kept) => ({
    metadata: { name, labels, annotations, resourceVersion: String(version) },
    status: { nodeInfo: { containerRuntimeVersion: runtime } },
  });
  const one = (): Kept => nodes.get("one") ?? { labels: {}, annotations: {}, runtime: "" };
  const state = (): string | undefined => one().labels["a3s.dev/cri"];
  /** Of the image: SHA256SUMS is all that tells one from another. */
  const content = async (what: string): Promise<void> => {
    await writeFile(join(base, "tree/SHA256SUMS"), `${what}  bin/a3s-box\n`);
  };
  const treeOf = (what: string): string => {
    const digest = createHash("sha256").update(`${what}  bin/a3s-box\n`).digest("hex");
    return `a3s-box-of-chart-${packageVersion()}-${digest.slice(0, 12)}`;
  };
  const isThere = async (path: string): Promise<boolean> =>
    await access(join(host, path)).then(
      () => true,
      () => false,
    );
  const socket = "run/a3s-box/cri.sock";

  const listen = async (): Promise<void> => {
    await end();
    await mkdir(dirname(join(host, socket)), { recursive: true });
    daemon = createSocket();
    await new Promise<void>((resolve) => daemon?.listen(join(host, socket), resolve));
  };
  const end = async (): Promise<void> => {
    const ended = daemon;
    daemon = undefined;
    if (ended !== undefined) await new Promise((resolve) => ended.close(resolve));
  };

  /** The node's systemd, as far as units' doings are files. */
  const units: HostUnits = {
    reload: () => {
      asked.push("reload");
      return Promise.resolve();
    },
    start: async (unit, anew) => {
      asked.push(`${anew ? "restart" : "start"} ${unit}`);
      await onStart();
    },
    runOnce: async (unit) => {
      asked.push(`run ${unit}`);
      const name = unit.replace(".service", "");
      const says =
        name === "a3s-box-check" ? checkSays : `${inUse.map((one) => `in use: ${one}\n`).join("")}That is all.\n`;
      await mkdir(join(host, "run", name), { recursive: true });
      await writeFile(join(host, "run", name, "said"), says);
    },
    stop: async (unit) => {
      asked.push(`stop ${unit}`);
      await end();
    },
  };
  const silent = { info: () => undefined, warn: () => undefined };
  const keeper = (config?: string, other: Partial<HostUnits> = {}): NodeKeeper =>
    new NodeKeeper({
      ...{ api, units: { ...units, ...other }, log: silent, nodeName: "one", watchMs: 10 },
      release: { host, tree: join(base, "tree"), config },
    });

  it("has the release, its unit and its configuration; check is run on it before the daemon; then it is installed", async () => {
    await keeper('driver = "qemu"\n').look(signal);
    expect(state()).to.equal("installed");
    expect(one().labels["keep"]).to.equal("this");
    expect(asked).to.deep.equal(["reload", "run a3s-box-check.service", "restart a3s-box.service"]);
    expect(await readlink(join(host, "opt/a3s-box"))).to.equal(treeOf("program"));
    expect(await readFile(join(host, "opt/a3s-box/bin/a3s-box"), "utf8")).to.equal("program");
    expect(await readFile(join(host, "etc/systemd/system/a3s-box.service"), "utf8")).to.contain("ExecStart=");
    expect(await readFile(join(host, "etc/systemd/system/a3s-box-check.service"), "utf8")).to.contain(
      "ExecStart=/opt/a3s-box/bin/a3s-box check",
    );
    expect(await readFile(join(host, "etc/a3s-box/config.toml"), "utf8")).to.match(
      /^# Written by .*\ndriver = "qemu"\n$/,
    );
    expect(await isThere("etc/crictl.yaml"), "that of the runtime that kubelet has").to.equal(false);
  });

  it("is active when kubelet says that its runtime is this one, and nothing is written while nothing changes", async () => {
    const its = keeper();
    await its.look(signal);
    one().runtime = "a3s-box://0.2.0";
    await its.look(signal);
    expect(state()).to.equal("active");
    const before = changes.length;
    await its.look(signal);
    await its.look(signal);
    expect([changes.length, asked.length]).to.deep.equal([before, 3]);
  });

  it("goes on with what is there when its pod is another: nothing is started anew", async () => {
    await keeper().look(signal);
    asked.splice(0);
    await keeper().look(signal);
    expect(asked).to.deep.equal(["reload", "run a3s-box-check.service", "start a3s-box.service"]);
  });

  it("has its daemon started anew with another configuration", async () => {
    await keeper('driver = "qemu"\n').look(signal);
    asked.splice(0);
    await keeper('driver = "krun"\n').look(signal);
    expect(asked.at(-1)).to.equal("restart a3s-box.service");
    expect(await readFile(join(host, "etc/a3s-box/config.toml"), "utf8")).to.contain("krun");
  });

  it("has its daemon started anew by the pod's next process where this one ended before it was", async () => {
    await keeper('driver = "qemu"\n').look(signal);
    onStart = () => Promise.reject(new Error("the pod has ended"));
    await keeper('driver = "krun"\n').look(signal);
    onStart = listen;
    asked.splice(0);
    await keeper('driver = "krun"\n').look(signal);
    expect([asked.at(-1), state()]).to.deep.equal(["restart a3s-box.service", "installed"]);
    await keeper('driver = "krun"\n').look(signal);
    expect(asked.at(-1)).to.equal("start a3s-box.service");
  });

  it("is given up where an uninstall has asked for it while it was put in place", async () => {
    const its = keeper();
    onStart = async () => {
      await listen();
      one().labels["a3s.dev/cri"] = "removing";
    };
    await its.look(signal);
    expect([state(), await isThere("opt/a3s-box")]).to.deep.equal(["removed", false]);
  });

  it("says that it is being made ready before anything is on it, and gives up half-way where an uninstall asks", async () => {
    let atFirst: readonly [unknown, unknown] = ["", ""];
    // A start that takes its whole time.
    const start: HostUnits["start"] = async (_unit, _anew, parent) => {
      atFirst = [state(), changes.length];
      one().labels["a3s.dev/cri"] = "removing";
      await new Promise((_resolve, reject) => {
        parent.addEventListener("abort", () => {
          reject(new Error("given up"));
        });
      });
    };
    await keeper(undefined, { start }).look(signal);
    expect(atFirst).to.deep.equal(["installing", 1]);
    expect([state(), await readdir(join(host, "opt"))]).to.deep.equal(["removed", []]);
    expect(asked.slice(-3)).to.deep.equal(["stop a3s-box-check.service", "stop a3s-box.service", "reload"]);
  });

  it("does not begin where an uninstall was there first", async () => {
    onRequest = (method) => {
      if (method !== "PATCH") return;
      onRequest = () => undefined;
      merge(one().labels, { "a3s.dev/cri": "removed" });
      one().version = 7;
    };
    await keeper().look(signal);
    expect([state(), asked, await readdir(join(host, "opt"))]).to.deep.equal(["removed", [], []]);
  });

  it("has an image that was built anew under the same version", async () => {
    await keeper().look(signal);
    await content("another program");
    asked.splice(0);
    await keeper().look(signal);
    expect(await readlink(join(host, "opt/a3s-box"))).to.equal(treeOf("another program"));
    expect(asked.at(-1)).to.equal("restart a3s-box.service");
  });

  it("refuses an image whose tree has no sums, of which nobody knows what is in it", async () => {
    await rm(join(base, "tree/SHA256SUMS"));
    await keeper().look(signal);
    expect([state(), one().annotations["a3s.dev/cri-reason"]]).to.deep.equal([
      "failed",
      "the image's tree has no SHA256SUMS (build the image of a release: docs/guide/docker.md)",
    ]);
  });

  describe("when it has been upgraded twice", () => {
    const [first, second, third] = ["first", "second", "third"].map(treeOf) as [string, string, string];
    const trees = async (): Promise<readonly string[]> =>
      (await readdir(join(host, "opt"))).filter((name) => name.startsWith("a3s-box-of-chart-")).sort();
    let its: NodeKeeper;
    beforeEach(async () => {
      for (const what of ["first", "second", "third"]) {
        await content(what);
        its = keeper();
        await its.look(signal);
      }
      expect(await trees()).to.have.members([first, second, third]);
      asked.splice(0);
    });

    it("keeps the release before, and loses those before that", async () => {
      await its.look(signal);
      expect(await trees()).to.have.members([second, third]);
      expect(asked).to.deep.equal(["run a3s-box-in-use.service"]);
      await its.look(signal);
      expect(asked).to.have.length(1);
    });

    it("keeps what something runs from, until nothing does", async () => {
      inUse = [first];
      await its.look(signal);
      expect(await trees()).to.have.members([first, second, third]);
      inUse = [];
      await its.look(signal);
      expect(asked, "it is not asked at every look").to.have.length(1);
      its = keeper();
      await its.look(signal);
      await its.look(signal);
      expect(await trees()).to.have.members([second, third]);
    });

    it("keeps them where the node can't say what runs, which is no fault of it", async () => {
      const runOnce: HostUnits["runOnce"] = async (unit, parent) => {
        if (unit === "a3s-box-in-use.service") throw new Error("no bus");
        await units.runOnce(unit, parent);
      };
      its = keeper(undefined, { runOnce });
      await its.look(signal);
      await its.look(signal);
      expect([await trees(), state()]).to.deep.equal([[first, second, third].sort(), "installed"]);
    });

    it("goes back to the one before, which is not copied again", async () => {
      await writeFile(join(host, "opt", second, "mark"), "");
      await content("second");
      its = keeper();
      await its.look(signal);
      await its.look(signal);
      expect(await readlink(join(host, "opt/a3s-box"))).to.equal(second);
      expect([await isThere(`opt/${second}/mark`), await trees()]).to.deep.equal([true, [second, third].sort()]);
    });

    it("loses what an earlier end has left half copied or half removed", async () => {
      for (const name of [`${first}.old`, "a3s-box-of-chart-0.0.9.new"]) await mkdir(join(host, "opt", name));
      await keeper().look(signal);
      expect(await trees()).to.have.members([first, second, third]);
    });

    it("loses all of them with an uninstall, also those that something runs from", async () => {
      inUse = [first, second, third];
      one().labels["a3s.dev/cri"] = "removing";
      await its.look(signal);
      expect([state(), await readdir(join(host, "opt"))]).to.deep.equal(["removed", []]);
    });
  });

  it("is failed with check's words where Boxes can't be run, and its daemon is not started", async () => {
    checkSays = "/dev/kvm missing\n\nBoxes can't be run here: capabilities missing.\n";
    const its = keeper();
    await its.look(signal);
    await its.look(signal);
    expect(state()).to.equal("failed");
    expect(one().annotations["a3s.dev/cri-reason"]).to.contain("Boxes can't be run here: capabilities missing.");
    expect(asked).to.deep.equal(["reload", "run a3s-box-check.service"]);
    checkSays = can;
    await keeper().look(signal);
    expect([state(), one().annotations]).to.deep.equal(["installed", {}]);
  });

  for (const [what, path, make] of [
    ["a directory", "opt/a3s-box", (at: string) => mkdir(at)],
    ["a link of a release by hand", "opt/a3s-box", (at: string) => symlink("/opt/a3s-box-0.1.0", at)],
    [
      "a configuration",
      "etc/a3s-box/config.toml",
      async (at: string) => {
        await mkdir(dirname(at));
        await writeFile(at, "# mine\n");
      },
    ],
  ] as const) {
    it(`is failed where ${what} of somebody else's is, which stays as it is`, async () => {
      await make(join(host, path));
      await keeper('driver = "qemu"\n').look(signal);
      expect(state()).to.equal("failed");
      expect(one().annotations["a3s.dev/cri-reason"]).to.contain(`/${path} of the node is not this chart's`);
      expect([asked, await readdir(join(host, "etc/systemd/system"))]).to.deep.equal([[], []]);
      if (path.endsWith(".toml")) expect(await readFile(join(host, path), "utf8")).to.equal("# mine\n");
    });
  }

  for (const [what, make] of [
    ["a link", (at: string) => symlink("/opt/a3s-box-0.1.0", at)],
    ["a directory", (at: string) => mkdir(at)],
  ] as const) {
    it(`keeps a release by hand, ${what}, and its daemon, when it is to give up what it never had`, async () => {
      await make(join(host, "opt/a3s-box"));
      await writeFile(join(host, "etc/systemd/system/a3s-box.service"), "by hand");
      await listen();
      const its = keeper();
      await its.look(signal);
      expect(state()).to.equal("failed");
      one().labels["a3s.dev/cri"] = "removing";
      await its.look(signal);
      expect([state(), asked]).to.deep.equal(["removed", ["reload"]]);
      expect(await readFile(join(host, "etc/systemd/system/a3s-box.service"), "utf8")).to.equal("by hand");
      expect(await readdir(join(host, "opt"))).to.deep.equal(["a3s-box"]);
    });
  }

  it("keeps a configuration of its own where the chart has none", async () => {
    await mkdir(join(host, "etc/a3s-box"));
    await writeFile(join(host, "etc/a3s-box/config.toml"), "# mine\n");
    const its = keeper();
    await its.look(signal);
    expect(state()).to.equal("installed");
    one().labels["a3s.dev/cri"] = "removing";
    await its.look(signal);
    expect(await readFile(join(host, "etc/a3s-box/config.toml"), "utf8")).to.equal("# mine\n");
  });

  it("is as it was when it has given the release up, and stays so", async () => {
    const its = keeper('driver = "qemu"\n');
    await its.look(signal);
    await mkdir(join(host, "opt/other"));
    one().labels["a3s.dev/cri"] = "removing";
    await its.look(signal);
    expect(state()).to.equal("removed");
    expect(asked.slice(-2)).to.deep.equal(["stop a3s-box.service", "reload"]);
    const left = await readdir(host, { recursive: true });
    expect(left.sort()).to.deep.equal([
      "etc",
      "etc/systemd",
      "etc/systemd/system",
      "opt",
      "opt/other",
      "run",
      "run/a3s-box",
    ]);
    await its.look(signal);
    await keeper().look(signal);
    expect([state(), await isThere("opt/a3s-box")]).to.deep.equal(["removed", false]);
    // The uninstall has taken the label, and its pod ends only now.
    Reflect.deleteProperty(one().labels, "a3s.dev/cri");
    await its.look(signal);
    expect([state(), await isThere("opt/a3s-box")]).to.deep.equal([undefined, false]);
  });

  it("gives nothing up while kubelet uses it", async () => {
    const its = keeper();
    await its.look(signal);
    one().runtime = "a3s-box://0.2.0";
    one().labels["a3s.dev/cri"] = "removing";
    await its.look(signal);
    expect(state()).to.equal("active");
    expect(one().annotations["a3s.dev/cri-reason"]).to.contain("kubelet of this node still has this runtime");
    expect([asked.includes("stop a3s-box.service"), await isThere("opt/a3s-box")]).to.deep.equal([false, true]);
  });

  it("tries again at the next look when the API server does not answer, or not to it", async () => {
    const its = keeper();
    await writeFile(api.tokenFile, "another\n");
    const refused = await its.look(signal).catch((thrown: unknown) => thrown);
    expect(refused).to.be.instanceOf(Error).with.property("message").that.contains("GET /api/v1/nodes/one: HTTP 401");
    expect(asked).to.deep.equal([]);
    await writeFile(api.tokenFile, "secret\n");
    await its.look(signal);
    expect(state()).to.equal("installed");
  });

  describe("when the release is to leave all of them", () => {
    const said: string[] = [];
    const say = (line: string): void => {
      said.push(line);
    };
    const options = { daemonSet: { namespace: "a3s", name: "box" }, nodes: `${chosen}=true`, limitMs: 20_000, say };
    beforeEach(() => {
      said.splice(0);
      one().labels["a3s.dev/cri"] = "installed";
      nodes.set("two", { labels: { "a3s.dev/cri": "active" }, annotations: {}, runtime: "containerd://2.1.0" });
      nodes.set("none", { labels: {}, annotations: {}, runtime: "containerd://2.1.0" });
    });

    it("is refused with the names of those that use it, and nothing has changed", async () => {
      for (const name of ["one", "two"]) {
        const kept = nodes.get(name);
        if (kept !== undefined) kept.runtime = "a3s-box://0.2.0";
      }
      const why = await leave(api, options, signal).catch((thrown: unknown) => thrown);
      expect(why)
        .to.be.instanceOf(Error)
        .with.property("message")
        .that.contains("one, two: kubelet's runtime is this one");
      expect(changes).to.deep.equal([]);
    });

    it("waits until each has given it up, and takes the labels when nobody writes them any more", async () => {
      const left = leave(api, options, signal);
      await keeperSays("one");
      await keeperSays("two");
      expect(await left).to.have.members(["one", "two"]);
      expect(changes.slice(-3)).to.have.members([
        `DELETE ${daemonSetPath}?propagationPolicy=Foreground`,
        "PATCH /api/v1/nodes/one",
        "PATCH /api/v1/nodes/two",
      ]);
      expect(changes.at(-3)).to.equal(`DELETE ${daemonSetPath}?propagationPolicy=Foreground`);
      expect([...nodes.values()].some(({ labels }) => "a3s.dev/cri" in labels)).to.equal(false);
      expect(one().labels).to.deep.equal({ keep: "this" });
    });

    it("names those that have not, at its limit", async () => {
      nodes.delete("one");
      const why = await leave(api, { ...options, limitMs: 1 }, signal).catch((thrown: unknown) => thrown);
      expect(why).to.be.instanceOf(Error).with.property("message").that.contains("two: still to give the release up");
      expect(changes).to.deep.equal(["PATCH /api/v1/nodes/two"]);
    });

    it("waits for one that is only being made ready, and says so", async () => {
      nodes.delete("two");
      one().labels["a3s.dev/cri"] = "installing";
      const left = leave(api, options, signal);
      await keeperSays("one");
      expect(await left).to.deep.equal(["one"]);
      expect(said).to.deep.equal(["one (installing) is asked to give it up, half-way."]);
    });

    it("lets no pod begin on a chosen node of which nothing was said", async () => {
      for (const name of ["one", "two"]) nodes.delete(name);
      nodes.set("new", { labels: { [chosen]: "true" }, annotations: {}, runtime: "containerd://2.1.0" });
      expect(await leave(api, options, signal)).to.deep.equal([]);
      expect(changes).to.deep.equal([
        "PATCH /api/v1/nodes/new",
        `DELETE ${daemonSetPath}?propagationPolicy=Foreground`,
        "PATCH /api/v1/nodes/new",
      ]);
      expect(nodes.get("new")?.labels).to.deep.equal({ [chosen]: "true" });
    });

    it("sees one whose pod begins just then", async () => {
      for (const name of ["one", "two"]) nodes.delete(name);
      const kept: Kept = { labels: { [chosen]: "true" }, annotations: {}, runtime: "containerd://2.1.0" };
      nodes.set("new", kept);
      onRequest = (method) => {
        if (method !== "PATCH") return;
        onRequest = () => undefined;
        kept.labels["a3s.dev/cri"] = "installing";
        kept.version = 7;
      };
      const left = leave(api, options, signal);
      await keeperSays("new");
      expect(await left).to.deep.equal(["new"]);
    }).timeout(10_000);

    it("names one that has come meanwhile, and leaves its label", async () => {
      for (const name of ["one", "two"]) nodes.delete(name);
      onRequest = (method) => {
        if (method !== "DELETE") return;
        const labels = { "a3s.dev/cri": "installing" };
        nodes.set("late", { labels, annotations: {}, runtime: "containerd://2.1.0" });
      };
      const why = await leave(api, options, signal).catch((thrown: unknown) => thrown);
      expect(why).to.be.instanceOf(Error).with.property("message").that.contains("late: came while the others");
      expect(nodes.get("late")?.labels).to.deep.equal({ "a3s.dev/cri": "installing" });
    });

    /** What its pod does when it sees the label. */
    const keeperSays = async (name: string): Promise<void> => {
      const kept = nodes.get(name);
      for (;;) {
        if (kept?.labels["a3s.dev/cri"] === "removing") break;
        await new Promise((resolve) => setImmediate(resolve));
      }
      kept.labels["a3s.dev/cri"] = "removed";
    };
  });

  it("is found by what a pod's environment has", () => {
    expect(clusterApi({ KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" }).url).to.equal(
      "https://[fd00::1]:6443",
    );
    expect(() => clusterApi({})).to.throw("this is no pod of a cluster");
  });
});

function merge(into: Record<string, string>, patch: Readonly<Record<string, string | null>>): void {
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(into, name);
    else into[name] = value;
  }
}
