/** A real kubelet in front of the daemon, with pods as its users write them: what it makes of them, and what is left. */
import { existsSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { z } from "zod";
import { ContainerState } from "../../src/gen/runtime/v1/api.js";
import { image, runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox, busyboxImage, busyboxSource } from "../support/images.js";
import {
  isOldestKubelet,
  isReady,
  Kubelet,
  kubeletProgram,
  nodeName,
  type ContainerView,
  type PodView,
} from "../support/kubelet.js";
import { machineDifference, type MachineState } from "../support/machine.js";
import { NodeNetwork } from "../support/node-network.js";
import { buildPeer, peerLayer } from "../support/peer/peer.js";
import { spdyCommand, spdyConnect } from "../support/streaming/spdy-client.js";
import { Undo } from "../support/undo.js";
import { eventually, limit, slowness } from "../support/wait.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import {
  crashPod,
  fewUsersPod,
  hostPort,
  mainPod,
  probesPod,
  systemPod,
  usersDirectory,
  usersPod,
  usersVolumes,
} from "./pods.js";

const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, hairpinMode: true };
const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true };
const idSchema = z.object({ containerId: z.number(), hostId: z.number(), length: z.number() });
/** What kubelet notes of a pod's ids in its directory. */
const notedSchema = z.object({ uidMappings: z.tuple([idSchema]), gidMappings: z.tuple([idSchema]) });
const pinnedImage = "localhost/test/pinned:1";
const unusedImage = "localhost/test/unused:1";
const ofOwner = `host_namespaces = "native"
image.pinned = ["${pinnedImage}"]
sandbox.boot_timeout_ms = ${String(limit(120_000))}
sandbox.run_timeout_ms = ${String(limit(220_000))}
sandbox.vcpus = ${slowness > 1 ? "1" : "2"}
`;

/** Boxes that boot side by side in a nested VM take longer than anybody waits for one. */
const oneByOne = slowness > 1;

describe("A real kubelet", function () {
  this.timeout(limit(600_000));
  let directory: string;
  let node: NodeNetwork;
  let daemon: Daemon;
  let kubelet: Kubelet;
  let atStart: MachineState;
  let main: PodView;
  /** Boxes under krun have no user namespaces (docs/adr/0073), and kubelet then starts no pod that asks for one. */
  let givesUsers: boolean;
  const undo = new Undo();

  const onHost = (name: string): string => join(directory, "host", name);
  const execUrl = (line: string, input: boolean, name = "main", container = name): string =>
    kubelet.url(
      `/exec/default/${name}-${nodeName}/${container}?${input ? "input=1&" : ""}output=1&error=1&command=sh&command=-c&command=${encodeURIComponent(line)}`,
    );
  /** Standard output of a shell line in a container, the one with its pod's name unless given; the line must succeed. */
  const run = async (line: string, name = "main", container = name): Promise<string> => {
    const url = execUrl(line, false, name, container);
    const { stdout, stderr, error } = await spdyCommand(url, { stdout: true, stderr: true });
    const [out, err, status] = [await stdout.ending(), await stderr.ending(), await error.ending()];
    if (!status.includes('"Success"')) throw new Error(`"${line}": ${status}: ${err}`);
    return out;
  };

  /**
   * In /metrics/resource: the name and labels of a pod's working set. 1.34 has figures of pods there, and of containers
   * only by cAdvisor (kubelet ListPodCPUAndMemoryStats, where the figures are CRI's).
   */
  const workingSets = (name: string): RegExp[] => {
    const labels = `.*pod="${name}-${nodeName}"\\} [1-9]`;
    const ofPod = `pod_memory_working_set_bytes\\{${labels}`;
    const ofContainer = `container_memory_working_set_bytes\\{container="${name}",${labels}`;
    return (isOldestKubelet ? [ofPod] : [ofPod, ofContainer]).map((text) => new RegExp(`^${text}`, "m"));
  };

  const placeFailing = async (): Promise<void> => {
    await kubelet.place("probes", probesPod(directory));
    await kubelet.place("crash", crashPod());
  };

  const placeUsers = async (): Promise<void> => {
    await kubelet.place("users", usersPod(directory));
    await kubelet.place("few-users", fewUsersPod());
  };
  /** The pod's ids as kubelet has noted them, in the form of `/proc/self/uid_map`. */
  const notedIds = async ({ metadata }: PodView): Promise<string> => {
    const noted = notedSchema.parse(
      JSON.parse(await readFile(join(kubelet.base, "root/pods", metadata.uid, "userns"), "utf8")),
    );
    const [{ containerId, hostId, length }] = noted.uidMappings;
    return ` ${containerId} ${hostId} ${length}\n`;
  };
  const idsInside = "tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map";

  before("a node, its kubelet, and all pods at once", async function () {
    this.timeout(limit(300_000));
    if (!existsSync(kubeletProgram)) skipBecause(this, "no kubelet: the set-up builds it where Go is installed");
    directory = await mkdtemp(join(tmpdir(), "a3s-h"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    for (const name of ["host", "host/www", `host/${usersDirectory}`]) await mkdir(join(directory, name));
    await writeFile(onHost("www/ok"), "fine\n");
    await chmod(onHost(usersDirectory), 0o777);
    await writeFile(onHost(`${usersDirectory}/theirs`), "theirs\n", { mode: 0o640 });
    await chown(onHost(`${usersDirectory}/theirs`), 7, 8);
    node = await NodeNetwork.here();
    undo.add(() => node.remove());
    await node.configure([{ ...bridge, ipam: node.ipam("10.97.7.0/24", "fd97:7::/64") }, portmap]);
    const { layers, ...rest } = await busybox();
    const idle = async (tag: string) => ({ tag, ...(await busyboxSource({ Labels: { tag } })) });
    const images = [
      { ...rest, layers: [...layers, await peerLayer(await buildPeer(directory))] },
      ...(await Promise.all([pinnedImage, unusedImage].map(idle))),
    ];
    daemon = await Daemon.start({ images, config: ofOwner + node.daemonConfig, nodeNetns: node.netns });
    undo.add(() => daemon.remove());
    atStart = await daemon.machine();
    // The cluster's kubelet is as it comes; this one has its figures from CRI alone.
    kubelet = await Kubelet.start(daemon, { more: { featureGates: { PodAndContainerStatsFromCRI: true } } });
    undo.add(() => kubelet.remove());
    await kubelet.place("main", mainPod(directory));
    if (!oneByOne) await placeFailing();
    if (!oneByOne) await kubelet.place("system", systemPod());
    main = await kubelet.until("main", "runs", 180_000, ({ status }) => status.phase === "Running");
    const { runtimeHandlers } = await daemon.cri.call(runtime.status, {});
    givesUsers = runtimeHandlers.find(({ name }) => name === "")?.features?.userNamespaces === true;
    if (givesUsers) await placeUsers();
    if (oneByOne) await kubelet.place("system", systemPod());
  });

  after(async function () {
    this.timeout(limit(120_000));
    await undo.run();
  });

  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    process.stderr.write(
      `${String(this.currentTest.err?.message)}\n--- kubelet\n${await kubelet.logTail()}\n--- daemon\n${await daemon.logTail()}\n`,
    );
  });

  describe("a pod's start", () => {
    it("has run the init container, and started the sidecar before the container", () => {
      expect(containerOf(main, "first").state.terminated).to.include({ exitCode: 0, reason: "Completed" });
      const [sidecar, container] = ["sidecar", "main"].map((name) => containerOf(main, name).state.running?.startedAt);
      expect(Date.parse(sidecar ?? "")).to.be.at.most(Date.parse(container ?? ""));
    });

    it("is Ready once its readiness probe succeeds, and no earlier", async () => {
      expect(isReady(main)).to.equal(false);
      await writeFile(onHost("ready"), "");
      main = await kubelet.ready("main");
      expect(containerOf(main, "main")).to.include({ ready: true, restartCount: 0 });
    });

    it("has the addresses that its containers see", async () => {
      const { podIP, podIPs } = main.status;
      expect(podIPs.map(({ ip }) => ip)).to.have.length(2);
      const seen = await run("ip -o addr show dev eth0");
      for (const { ip } of podIPs) expect(seen).to.contain(` ${ip}/`);
      expect(await run(`echo "$POD_IP"`)).to.equal(`${podIP}\n`);
    });

    it("has its name in environment, files and host name, and the resolv.conf that it asks for", async () => {
      const name = `main-${nodeName}`;
      expect(await run(`echo "$POD_NAME"; cat /about/name; echo; hostname`)).to.equal(`${name}\n`.repeat(3));
      expect(await run("cat /etc/resolv.conf")).to.equal("search a.test\nnameserver 192.0.2.53\noptions ndots:5\n");
      expect(await run("cat /etc/hosts")).to.match(new RegExp(`^${main.status.podIP}\\s+${name}$`, "m"));
    });

    it("has run postStart, and shares its volumes, in memory and on the node's disk", async () => {
      expect(await run("cat /shared/init /shared/post; echo kept > /memory/a && cat /memory/a")).to.equal(
        "from init\npost-start\nkept\n",
      );
    });

    it("is reached at its addresses, and at the node's by its host port", async () => {
      const ends: [string, number][] = main.status.podIPs.map(({ ip }) => [ip, 9000]);
      for (const [address, port] of [...ends, ["127.0.0.1", hostPort] as const]) {
        const told = await node.run(join(directory, "peer"), "tcp", address, String(port), "1000");
        expect(told).to.match(/^main from /);
      }
    });
  });

  describe("what its users ask of a pod", () => {
    it("logs: all of it, and the last line", async () => {
      const path = `/containerLogs/default/main-${nodeName}/main`;
      const log = await kubelet.secure("GET", path);
      expect(log.split("\n")).to.include.members(["from init", "to stderr", "serving"]);
      expect((await kubelet.secure("GET", `${path}?tailLines=1`)).split("\n")).to.have.length(2);
    });

    it("exec: standard input, both outputs, and the exit code", async () => {
      const wanted = { stdin: true, stdout: true, stderr: true };
      const { stdin, stdout, stderr, error } = await spdyCommand(execUrl("cat; echo err >&2; exit 5", true), wanted);
      await stdin.write("typed in\n");
      await stdin.end();
      expect(await stdout.ending()).to.equal("typed in\n");
      expect(await stderr.ending()).to.equal("err\n");
      expect(await error.ending()).to.contain('"causes":[{"reason":"ExitCode","message":"5"}]');
    });

    it("exec: a coding agent by ACP, as `kubectl exec -i` has it", async () => {
      const agent = await readFile(join(projectDirectory, "test/support/agents/fake-agent.sh"), "utf8");
      const { stdin, stdout, error } = await spdyCommand(execUrl(agent, true), {
        stdin: true,
        stdout: true,
        stderr: true,
      });
      const params = { sessionId: "session-1", prompt: [{ type: "text", text: "hello" }] };
      for (const [at, method] of ["initialize", "session/new", "session/prompt"].entries()) {
        await stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id: at + 1, method, params })}\n`);
      }
      await stdin.end();
      const said = await stdout.ending();
      expect(said).to.contain('"text":"you said: hello"').and.to.contain('"id":3,"result":{"stopReason":"end_turn"}');
      expect(await error.ending()).to.contain('"Success"');
    });

    it("figures: CPU and memory of each container, in /stats/summary and /metrics/resource", async () => {
      await eventually("the summary has the pod's figures", 60_000, async () => {
        const summary = JSON.stringify(await kubelet.json("/stats/summary"));
        const pod = summary.slice(summary.indexOf(`"name":"main-${nodeName}"`));
        return /"usageCoreNanoSeconds":[1-9]\d+.*"workingSetBytes":[1-9]\d+/.test(pod) ? true : undefined;
      });
      const text = await kubelet.text("/metrics/resource");
      for (const metric of workingSets("main")) expect(text).to.match(metric);
    });

    it("figures: what cAdvisor would have, in /metrics/cadvisor, without one error of the kubelet's", async () => {
      const text = await kubelet.text("/metrics/cadvisor");
      const labels = `container="main".*namespace="default".*pod="main-${nodeName}"`;
      for (const name of ["cpu_usage_seconds_total", "memory_working_set_bytes", "fs_usage_bytes", "threads"]) {
        expect(text).to.match(new RegExp(`^container_${name}\\{${labels}.*\\} [0-9]`, "m"));
      }
      const network = `interface="eth0".*pod="main-${nodeName}"`;
      expect(text).to.match(new RegExp(`^container_network_receive_packets_total\\{.*${network}.*\\} [1-9]`, "m"));
      const log = await kubelet.logTail(1 << 26);
      expect(
        log.split("\n").filter((line) => /CRI prometheus metric|reading MetricDesc|get pod metrics/.test(line)),
      ).to.deep.equal([]);
    });
  });

  describe("a system pod, beside the pods in Boxes", () => {
    it("has the node's links, processes and host name", async () => {
      await kubelet.until("system", "runs", 60_000, ({ status }) => status.phase === "Running");
      expect(await run("hostname", "system")).to.equal(`${hostname()}\n`);
      expect((await run("ip -o link", "system")).match(/^\d+: [^:@]+/gm)?.join()).to.contain(": uplink");
      const test = `/proc/${String(process.pid)}/comm`;
      expect(await run(`cat ${test}`, "system")).to.equal(await readFile(test, "utf8"));
    });

    it("has a log and figures as they have", async () => {
      const log = await kubelet.secure("GET", `/containerLogs/default/system-${nodeName}/system`);
      expect(log).to.equal(`on ${hostname()}\n`);
      await eventually("its figures are there", 30_000, async () => {
        const text = await kubelet.text("/metrics/resource");
        return workingSets("system").every((metric) => metric.test(text)) ? true : undefined;
      });
    });
  });

  describe("a pod with user ids of its own", () => {
    let users: PodView;
    before("it is Ready", async function () {
      this.timeout(limit(180_000));
      if (!givesUsers) skipBecause(this, "the driver has no user namespaces");
      users = await kubelet.ready("users");
    });

    it("has those that kubelet has given it, in each container, and they are no neighbour's", async () => {
      const ids = await notedIds(users);
      expect(ids).to.match(/^ 0 [1-9]\d{4,} 65536\n$/);
      for (const container of ["users", "other"]) {
        expect(await run(idsInside, "users", container)).to.equal(ids.repeat(2));
      }
      const others = await notedIds(await kubelet.ready("few-users"));
      expect(others).to.not.equal(ids);
      expect(await run(idsInside, "few-users")).to.equal(others.repeat(2));
    });

    it("has run its init container as a user, with the message that this has left, and keeps its probes' peace", () => {
      expect(containerOf(users, "first").state.terminated).to.include({ exitCode: 0, message: "1000\n" });
      expect(users.status.containerStatuses.map(({ restartCount }) => restartCount)).to.deep.equal([0, 0]);
    });

    it("has volumes whose owners are those of the node's files, and writes as its users", async () => {
      expect(await run(usersVolumes.line, "users")).to.equal(usersVolumes.told(users.metadata.name));
      for (const [container, uid] of [
        ["users", 0],
        ["other", 1000],
      ] as const) {
        const line = `for directory in shared memory owned; do echo $(id -u) > /$directory/${container} && stat -c %u /$directory/${container}; done; cat /about/name`;
        const ids = `${uid}\n`.repeat(3);
        expect(await run(line, "users", container)).to.equal(`${ids}${users.metadata.name}`);
        expect((await stat(onHost(`${usersDirectory}/${container}`))).uid).to.equal(uid);
      }
      const forbidden = "cat /owned/theirs || echo x > /etc/passwd || echo refused";
      expect(await run(forbidden, "users", "other")).to.equal("refused\n");
    });

    it("is served: logs, exec with input, attach, port-forward, and its port", async () => {
      for (const [container, uid] of [
        ["users", 0],
        ["other", 1000],
      ] as const) {
        const log = await kubelet.secure("GET", `/containerLogs/default/users-${nodeName}/${container}`);
        expect(log.split("\n")).to.include(`as ${uid}`);
      }
      const copied = await spdyCommand(execUrl("cat > /shared/typed && cat /shared/typed; exit 5", true, "users"), {
        ...{ stdin: true, stdout: true, stderr: true },
      });
      await copied.stdin.write("typed in\n");
      await copied.stdin.end();
      expect(await copied.stdout.ending()).to.equal("typed in\n");
      expect(await copied.error.ending()).to.contain('"message":"5"');

      const url = kubelet.url(`/attach/default/users-${nodeName}/other?input=1&output=1`);
      const attached = await spdyCommand(url, { stdin: true, stdout: true });
      await attached.stdin.write("to and fro\n");
      await attached.client.until(() => attached.stdout.text === "to and fro\n");
      attached.client.destroy();

      const client = await spdyConnect(kubelet.url(`/portForward/default/users-${nodeName}`), ["portforward.k8s.io"]);
      const headers = { port: "8080", requestid: "0" };
      await (await client.open({ ...headers, streamtype: "error" })).end();
      const data = await client.open({ ...headers, streamtype: "data" });
      await data.write("GET /first HTTP/1.0\r\n\r\n");
      expect(await data.ending()).to.match(/^HTTP\/1\.[01] 200 OK[^]*\nfirst\n$/);
      const told = await node.run(join(directory, "peer"), "tcp", users.status.podIP, "9000", "1000");
      expect(told).to.match(/^users from /);
    });
  });

  describe("a container that fails", () => {
    before("its pod is there", async () => {
      if (oneByOne) await placeFailing();
    });

    it("is started again, later and later, with its exit code, reason and message kept", async () => {
      const restarted = ({ status }: PodView): boolean =>
        status.containerStatuses.some((one) => one.restartCount >= 2 && one.lastState.terminated !== undefined);
      const pod = await kubelet.until("crash", "has been restarted twice", 240_000, restarted);
      const last = containerOf(pod, "crash").lastState.terminated;
      expect(last).to.include({ exitCode: 3, reason: "Error", message: "gone wrong\n" });
      const waiting = (now: PodView): boolean => containerOf(now, "crash").state.waiting?.reason === "CrashLoopBackOff";
      await kubelet.until("crash", "waits in CrashLoopBackOff", 240_000, waiting);
      const path = `/containerLogs/default/crash-${nodeName}/crash?previous=true`;
      expect(await kubelet.secure("GET", path)).to.equal("a try\n");
      // The last one for its log, and one that may run.
      const filter = {
        id: "",
        state: undefined,
        podSandboxId: "",
        labelSelector: { "io.kubernetes.container.name": "crash" },
      };
      await eventually("the kubelet has removed the others", 60_000, async () =>
        (await daemon.cri.call(runtime.listContainers, { filter })).containers.length <= 2 ? true : undefined,
      );
    });

    it("is left alone while its liveness probes succeed: exec, http and tcp", async () => {
      const pod = await kubelet.ready("probes");
      const restarts = pod.status.containerStatuses.map(({ name, restartCount }) => [name, restartCount]);
      expect(restarts).to.have.deep.members([
        ["exec", 0],
        ["http", 0],
        ["tcp", 0],
      ]);
    });

    const failures: [string, () => Promise<void>, () => Promise<void>][] = [
      ["exec", () => writeFile(onHost("fail-exec"), ""), () => rm(onHost("fail-exec"))],
      ["http", () => rm(onHost("www/ok")), () => writeFile(onHost("www/ok"), "fine\n")],
      ["tcp", () => writeFile(onHost("fail-tcp"), ""), () => rm(onHost("fail-tcp"))],
    ];
    for (const [name, breakIt, mendIt] of failures) {
      it(`is killed and started again when its ${name} liveness probe fails`, async () => {
        await breakIt();
        const restarted = (pod: PodView): boolean => containerOf(pod, name).restartCount > 0;
        await kubelet.until("probes", `has restarted ${name}`, 90_000, restarted).finally(mendIt);
        const again = (pod: PodView): boolean => containerOf(pod, name).ready;
        const pod = await kubelet.until("probes", `runs ${name} again`, 90_000, again);
        expect(containerOf(pod, name).lastState.terminated?.reason).to.be.oneOf(["Completed", "Error"]);
      });
    }
  });

  describe("restarts of the node's programs", () => {
    before("the pod is Ready", async function () {
      this.timeout(limit(180_000));
      await writeFile(onHost("ready"), "");
      main = await kubelet.ready("main");
    });
    const identity = ({ status }: PodView): string[] =>
      [...status.initContainerStatuses, ...status.containerStatuses].map(
        ({ containerID, restartCount }) => `${containerID} ${String(restartCount)}`,
      );
    const names = (): readonly string[] => ["main", "system", ...(givesUsers ? ["users", "few-users"] : [])];
    const identities = async (): Promise<string[]> => {
      const pods = await Promise.all(names().map((name) => kubelet.ready(name)));
      const ids = await Promise.all(pods.slice(2).map(notedIds));
      return [...pods.flatMap(identity), ...ids];
    };

    it("keeps the pods when the runtime is killed and comes back", async () => {
      const before = await identities();
      await daemon.stop("SIGKILL");
      await daemon.launch();
      for (const name of names()) {
        const said = await eventually("the kubelet reaches it again", 60_000, () => run("echo alive", name));
        expect(said).to.equal("alive\n");
      }
      expect(await identities()).to.deep.equal(before);
    });

    it("keeps the pods when the kubelet is restarted", async () => {
      const before = await identities();
      await kubelet.stop();
      await kubelet.launch();
      expect(await identities()).to.deep.equal(before);
      if (!givesUsers) return;
      expect(await run(idsInside, "users")).to.equal((await notedIds(await kubelet.ready("users"))).repeat(2));
    });
  });

  describe("the node's own restart, with a disk that is full to the kubelet", () => {
    before("all processes, mounts, groups and the state directory go", async function () {
      this.timeout(limit(120_000));
      await kubelet.stop();
      // Pods that the kubelet finds no more when it comes back: what is dead of them is to be collected.
      for (const name of ["probes", "crash", "users", "few-users"]) await kubelet.withdraw(name);
      await daemon.reboot();
      await kubelet.unmount();
      await kubelet.reconfigure({
        evictionHard: { "imagefs.available": "99.9%", "nodefs.available": "99.9%" },
        imageMinimumGCAge: "1s",
      });
      await kubelet.launch();
    });

    it("brings the pods back, in Boxes and on the host, with new containers", async () => {
      const lived = main;
      main = await kubelet.ready("main", 180_000);
      await kubelet.ready("system", 180_000);
      expect(containerOf(main, "main").containerID).to.not.equal(containerOf(lived, "main").containerID);
      expect(await run("cat /shared/init; cat /etc/hosts")).to.match(
        new RegExp(`^from init\n[^]*^${main.status.podIP}\\s`, "m"),
      );
      expect(await run("echo alive", "system")).to.equal("alive\n");
    });

    it("has images collected that nobody uses, and neither pinned ones nor those of containers", async () => {
      const tags = async (): Promise<string[]> =>
        (await daemon.cri.call(image.listImages, {})).images.flatMap(({ repoTags }) => repoTags);
      await eventually("the unused image has gone", 90_000, async () =>
        (await tags()).includes(unusedImage) ? undefined : true,
      );
      expect(await tags()).to.have.members([busyboxImage, pinnedImage]);
    });

    it("has containers and sandboxes collected: of pods that are no more all, of a container's dead all but the last", async () => {
      await eventually("only that is left", 120_000, async () => {
        const { items } = await daemon.cri.call(runtime.listPodSandbox, {});
        const pods = new Set(items.map(({ metadata }) => metadata?.name));
        expect([...pods]).to.have.members([`main-${nodeName}`, `system-${nodeName}`]);
        const { containers } = await daemon.cri.call(runtime.listContainers, {});
        const named = (running: boolean): (string | undefined)[] =>
          containers
            .filter(({ state }) => (state === ContainerState.CONTAINER_RUNNING) === running)
            .map(({ metadata }) => metadata?.name);
        expect(named(true)).to.have.members(["main", "sidecar", "system"]);
        expect(named(false)).to.have.length(new Set(named(false)).size);
        return true;
      });
    });
  });

  describe("a pod's end", () => {
    it("runs preStop, ends the container, then the sidecar, and gives the addresses back", async () => {
      await kubelet.withdraw("main"); // from now on /pods has it no more, while it ends
      const reserved = ({ status }: PodView, all: readonly string[]): boolean =>
        status.podIPs.some(({ ip }) => all.includes(ip));
      await eventually("the addresses are given back", 180_000, async () =>
        reserved(main, await node.reserved()) ? undefined : true,
      );
      expect(await readFile(onHost("ends"), "utf8")).to.equal("preStop\nmain ended\nsidecar ended\n");
    });

    it("leaves nothing once the kubelet has collected what is dead", async function () {
      this.timeout(limit(300_000));
      for (const name of ["main", "probes", "crash", "system", "users", "few-users"]) await kubelet.withdraw(name);
      await eventually("no sandbox and no container is left", 240_000, async () => {
        const { items } = await daemon.cri.call(runtime.listPodSandbox, {});
        const { containers } = await daemon.cri.call(runtime.listContainers, {});
        return items.length + containers.length === 0 ? true : undefined;
      });
      expect(await node.reserved()).to.deep.equal([]);
      expect((await node.links()).filter((name) => name.startsWith("veth"))).to.deep.equal([]);
      await kubelet.stop();
      const podsOnly = (state: MachineState): MachineState => ({
        ...state,
        cgroups: state.cgroups.filter((path) => !/\/kubepods(\/burstable|\/besteffort)?$/.test(path)),
        files: state.files.filter((path) => !path.startsWith("root/images/")), // one has been collected
      });
      await eventually("the machine is as it was", 10_000, async () => {
        const lines = machineDifference(podsOnly(atStart), podsOnly(await daemon.machine()));
        if (lines.length > 0) throw new Error(lines.slice(0, 20).join("\n"));
        return true;
      });
    });

    it("has shown the kubelet no violation of CRI, no unhealthy list, no changed definition", async () => {
      const log = await kubelet.logTail(1 << 26);
      // At its start it has not listed yet, and says so.
      expect(log).to.not.match(/CRI violation|PLEG is not healthy: pleg was last|definition changed|panic:/);
    });
  });
});

function containerOf({ status }: PodView, name: string): ContainerView {
  const found = [...status.initContainerStatuses, ...status.containerStatuses].find((one) => one.name === name);
  if (found === undefined) throw new Error(`no container ${name} in ${JSON.stringify(status)}`);
  return found;
}
