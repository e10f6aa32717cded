/**
 * A network that fails under pods: what RunPodSandbox says, what plugins are told, and that every address comes back.
 * Pods are of the native handler, which is quick to start, unless the run asks for Boxes.
 */
import { readFile, rm, unlink } from "node:fs/promises";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";
import { Protocol } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import { nodeLinks, NodeNetwork } from "../support/node-network.js";
import { podStatus, removePod, runPod, type Pod, type PodConfigPart } from "../support/pods.js";
import { eventually, limit } from "../support/wait.js";

/** Starts that fail or are broken off; `A3S_TEST_STARTS=200` for the long proof. */
const starts = Number(process.env["A3S_TEST_STARTS"] ?? "8");
/** Pods are Boxes with `A3S_TEST_FAULTS=boxes`. */
const handler = process.env["A3S_TEST_FAULTS"] === "boxes" ? "" : "native";
/** A Box takes several times as long to come up as a pod of the host. */
const patience = handler === "native" ? 1 : 4;
/** The pod's wish for what the last plugin does, which it is told as an annotation. */
const wish = "test/wish";
const told = "io.kubernetes.cri.pod-annotations";

describe("A network that fails", function () {
  this.timeout(limit(60_000) * patience);
  let node: NodeNetwork;
  let daemon: Daemon;
  let atStart: MachineState;
  let rulesAtStart: string;

  const rules = async (): Promise<string> =>
    `${await node.run("iptables-save")}${await node.run("ip6tables-save")}`
      .replaceAll(/^#.*$/gm, "")
      .replaceAll(/\[\d+:\d+\]/g, "");
  /** Without ipMasq where a namespace is deleted: bridge 1.1 then leaves its rule, under any runtime. */
  const bridge = (name = "pods", subnet = "10.96.21.0/24") => ({
    ...{ type: "bridge", bridge: name, isGateway: true, ipMasq: true, ipam: node.ipam(subnet) },
  });
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  const moody = { type: "moody", capabilities: { [told]: true } };
  const portMappings = [{ hostPort: 12_200, containerPort: 80, protocol: Protocol.TCP }];
  const wishing = (what: string): PodConfigPart => ({ annotations: { [wish]: what }, portMappings, logDirectory: "" });
  const run = (part: PodConfigPart, by = handler): Promise<Pod> => runPod(daemon, part, by);

  const expectNothingLeft = async (): Promise<void> => {
    expect(await node.reserved()).to.deep.equal([]);
    expect((await node.links()).filter((name) => ![...nodeLinks, "pods", "pods-few"].includes(name))).to.deep.equal([]);
    expect(await rules()).to.equal(rulesAtStart);
    await expectSameMachine(daemon.scope, atStart);
  };

  before(async () => {
    node = await NodeNetwork.create();
    // Does as the pod wishes, at ADD alone.
    await node.plugin(
      "moody",
      `if (command !== "ADD") return undefined;
      const wish = call.runtimeConfig["${told}"]["${wish}"];
      if (wish === "crash") process.kill(process.pid, "SIGSEGV");
      if (wish === "hang") run("sleep 600");
      if (wish === "rubbish") return console.log("<html>");
      if (wish === "nothing") return undefined;
      if (wish === "no address") return { ...call.prevResult, ips: [] };
      if (wish === "fail") {
        console.log(JSON.stringify({ code: 7, msg: "no more of it", details: "ask somebody" }));
        process.exit(1);
      }
      return call.prevResult;`,
    );
    await node.configure([bridge(), portmap, moody]);
    const config = node.daemonConfig + "plugin_timeout_ms = 4000\n";
    const handlers = process.env["A3S_TEST_HANDLER"] === "native" ? "" : nativeHandler;
    daemon = await Daemon.start({
      images: [await busybox()],
      config: `${config}${handlers}`,
      nodeNetns: node.netns,
    });
    atStart = await daemon.machine();
    // The bridge, and the chains that portmap makes once, are no pod's.
    await removePod(daemon, await run(wishing("fine")));
    rulesAtStart = await rules();
  });

  after(async () => {
    try {
      await (daemon as Daemon | undefined)?.remove();
    } finally {
      await (node as NodeNetwork | undefined)?.remove();
    }
  });

  const cases: [string, RegExp][] = [
    ["crash", /"net".*CNI plugin "moody" ADD: it was killed by SIGSEGV/],
    ["hang", /"net".*CNI plugin "moody" ADD: no result in 4000 ms/],
    ["rubbish", /"net".*CNI plugin "moody" ADD: it printed "<html>\\n", which is not JSON/],
    ["nothing", /"net".*CNI plugin "moody" ADD: it printed no result/],
    ["no address", /"net".*the plugins have given no address/],
    ["fail", /"net".*CNI plugin "moody" ADD: no more of it; ask somebody/],
  ];
  for (const [what, message] of cases) {
    it(`a plugin with the wish "${what}": RunPodSandbox says so, and nothing is left`, async () => {
      await failure(run(wishing(what)), what === "hang" ? status.DEADLINE_EXCEEDED : status.INTERNAL, message);
      await expectNothingLeft();
    });
  }

  it("no plugin: NetworkReady and RunPodSandbox name it and where it was looked for", async () => {
    await node.configure([bridge(), { type: "nowhere" }]);
    const { status: found } = await daemon.cri.call(runtime.status, {});
    const ready = found?.conditions.find(({ type }) => type === "NetworkReady");
    expect([ready?.status, ready?.reason]).to.deep.equal([false, "NetworkPluginNotReady"]);
    expect(ready?.message).to.match(/CNI plugin "nowhere" is not in .*\/usr\/lib\/cni/);
    await failure(run({ logDirectory: "" }), status.FAILED_PRECONDITION, /CNI plugin "nowhere" is not in/);
    await expectNothingLeft();
  });

  it("no address left: the pod that gets none says so, and the next one gets what is given back", async () => {
    await node.configure([bridge("pods-few", "10.96.22.0/30"), portmap]);
    const first = await run({ logDirectory: "" });
    await failure(run({ logDirectory: "" }), status.INTERNAL, /"bridge" ADD.*no IP addresses available/);
    expect(await node.reserved()).to.have.length(1);
    await removePod(daemon, first);
    await removePod(daemon, await run({ logDirectory: "" }));
    await expectNothingLeft();
  });

  it("the configuration removed and the namespaces deleted by hand: pods are still told of, and leave nothing", async () => {
    await node.configure([{ ...bridge(), ipMasq: false }, portmap]);
    const pods = [await run({ ...wishing(""), annotations: {} }), await run({ logDirectory: "" })];
    await node.unconfigure();
    const shown = await Promise.all(pods.map(({ id }) => podStatus(daemon, id)));
    expect(shown.map(({ network }) => network?.ip)).to.have.members(await node.reserved());
    for (const { id } of pods) {
      const path = join(daemon.state, "netns", id.slice(0, 24));
      expect(spawnSync("umount", ["--lazy", path]).status).to.equal(0);
      await unlink(path);
    }
    for (const pod of pods) await removePod(daemon, pod);
    await expectNothingLeft();
  });

  it("plugins are told what containerd tells them, each what it declares", async () => {
    const names = ["portMappings", "bandwidth", "dns", "aliases", "cgroupPath", told];
    const capabilities = Object.fromEntries(names.map((name) => [name, true]));
    const file = join(node.directory, "told.json");
    await node.plugin(
      "listener",
      `if (command === "ADD") {
        const told = { config: call.runtimeConfig, args: process.env.CNI_ARGS, name: process.env.CNI_IFNAME };
        require("fs").writeFileSync(${JSON.stringify(file)}, JSON.stringify(told));
      }
      return command === "ADD" ? call.prevResult : undefined;`,
    );
    await node.configure([bridge(), { type: "listener", capabilities }]);
    const annotations = { "kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "1Gi", own: "x" };
    const pod = await run({
      ...{ annotations, logDirectory: "" },
      portMappings: [
        ...portMappings,
        { containerPort: 81, hostPort: 0, protocol: Protocol.UDP },
        { containerPort: 82, hostPort: 12_201, protocol: Protocol.SCTP, hostIp: "192.0.2.1" },
      ],
      dnsConfig: { servers: ["192.0.2.53"], searches: ["a.test"], options: ["ndots:2"] },
    });
    const { metadata } = pod.config;
    const heard: unknown = JSON.parse(await readFile(file, "utf8"));
    await removePod(daemon, pod);
    const burst = 2 ** 32 - 1;
    expect(heard).to.deep.equal({
      name: "eth0",
      args: [
        "IgnoreUnknown=1",
        "K8S_POD_NAMESPACE=test",
        `K8S_POD_NAME=${metadata?.name ?? ""}`,
        `K8S_POD_INFRA_CONTAINER_ID=${pod.id}`,
        `K8S_POD_UID=${metadata?.uid ?? ""}`,
      ].join(";"),
      config: {
        portMappings: [
          { hostPort: 12_200, containerPort: 80, protocol: "tcp" },
          { hostPort: 12_201, containerPort: 82, protocol: "sctp", hostIP: "192.0.2.1" },
        ],
        bandwidth: { ingressRate: 1e7, ingressBurst: burst, egressRate: 2 ** 30, egressBurst: burst },
        dns: { servers: ["192.0.2.53"], searches: ["a.test"], options: ["ndots:2"] },
        aliases: [metadata?.name],
        cgroupPath: daemon.cgroupParent,
        [told]: annotations,
      },
    });
    await rm(file);
    await expectNothingLeft();
  });

  it(`${String(starts)} starts that fail, crash, or lose their daemon: no address is reserved after`, async function () {
    this.timeout(limit(60_000 + starts * 5_000) * patience);
    await node.configure([bridge(), portmap, moody]);
    const wishes = ["fail", "crash", "hang", "fine"] as const;
    const seen = { fail: 0, crash: 0, hang: 0, fine: 0 };
    for (let turn = 0; turn < starts; turn += 1) {
      const what = wishes[turn % wishes.length] ?? "fine";
      // In the long proof each tenth is a Box.
      const call = run(wishing(what), starts >= 100 && turn % 10 === 0 ? "" : handler);
      if (what === "hang") {
        const lost = call.catch((thrown: unknown) => thrown);
        await eventually("the start has an address", 20_000, async () =>
          (await node.reserved()).length > 0 ? true : undefined,
        );
        await daemon.stop("SIGKILL");
        await lost;
        await daemon.launch();
        await expectSameMachine(daemon.scope, atStart, 30_000); // taken back, while calls are served already
      } else if (what === "fine") {
        await removePod(daemon, await call);
      } else {
        await failure(call, status.INTERNAL, /"moody" ADD/);
      }
      seen[what] += 1;
      expect(await node.reserved(), `after start ${turn} (${what})`).to.deep.equal([]);
    }
    expect(Object.values(seen).every((count) => count >= Math.floor(starts / wishes.length))).to.equal(true);
    await expectNothingLeft();
  });
});
