/**
 * The pod of deploy/sidecar with a real kubelet, as a pod of the host of this runtime's, and as a pod of containerd's: the sidecar has
 * the rights that are written there and no more, and makes microVMs. The programs are this build's, by hostPaths, in place of an
 * image's.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { loadYaml } from "@kubernetes/client-node";
import { expect } from "chai";
import { z } from "zod";
import { containerdDirectory, mappingRunc } from "../support/containerd.js";
import { startContainerdNode } from "../support/containerd-node.js";
import { Daemon } from "../support/daemon.js";
import { textOf } from "../support/documents.js";
import { buildImage, buildInPod, buildProgram, imageOfBuild, runInside } from "../support/deploy/build-in-pod.js";
import { busybox, busyboxImage, writeArchive } from "../support/images.js";
import { Kubelet, kubeletProgram, nodeName, type PodRuntime } from "../support/kubelet.js";
import { NodeNetwork } from "../support/node-network.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

const memoryLimit = 700;
const hogMib = 900;
const metricsAddress = "127.0.0.1:9091";
/** Makes a sandbox that is larger than the sidecar may be, and runs a line in it. */
const hog = `
const ask = async (path, body) => (await fetch("http://localhost:4088/v1/sandboxes" + path, { method: "POST", body: JSON.stringify(body) })).json();
const run = async () => {
  const { id } = await ask("", { template: "base", memory_mib: 1200 });
  const said = JSON.stringify(await ask("/" + id + "/run", { command: process.argv[1], limit_ms: 100000 }));
  await fetch("http://localhost:4088/v1/sandboxes/" + id, { method: "DELETE" });
  return said;
};
run().then((said) => console.log("answered " + said), (thrown) => console.log("gone " + thrown));
`;
/** What the container's own group has had at most, and may have: by version 1 or 2. */
const peaks = `
const { existsSync, readFileSync } = require("node:fs");
const number = (path) => Number(readFileSync(path, "utf8"));
const places = [
  ["/sys/fs/cgroup/memory/memory.max_usage_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"],
  ["/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory.max"],
];
const there = places.filter(([peak]) => existsSync(peak));
console.log(JSON.stringify(there.map(([peak, limit]) => ({ peak: number(peak), limit: number(limit) }))));
`;
/** Prints what a URL has. */
const get = `fetch(process.argv[1]).then((answer) => answer.text()).then((text) => console.log(text))`;
const counting = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done";
const summarySchema = z.object({
  pods: z.array(
    z.object({
      podRef: z.object({ name: z.string() }),
      containers: z
        .array(z.object({ name: z.string(), memory: z.object({ workingSetBytes: z.number().optional() }).optional() }))
        .nullish(),
    }),
  ),
});
const containerSchema = z.looseObject({
  name: z.string(),
  volumeMounts: z.array(z.looseObject({ name: z.string() })),
  startupProbe: z.looseObject({ exec: z.object({ command: z.array(z.string()) }) }).optional(),
});
const podSchema = z.object({
  metadata: z.looseObject({ annotations: z.record(z.string(), z.string()) }),
  spec: z.object({
    initContainers: z.tuple([containerSchema]),
    containers: z.tuple([containerSchema]),
    volumes: z.array(z.looseObject({ name: z.string() })),
  }),
});
const seenSchema = z.record(z.string(), z.string());

/** Config of the file, with an image that is here and a size for a small machine. */
function configOf(written: string): string {
  return written
    .replace(/^driver = .*$/m, 'driver = "qemu"')
    .replace("[sandboxes]", '[sandboxes]\npull = "never"\nvcpus = 1\nmemory_mib = 256')
    .replace("[log]", `[metrics]\naddress = "${metricsAddress}"\n[log]`)
    .replace(/^image = .*$/m, `image = "${busyboxImage}"`);
}

/** The node's runtime, which runs the app's pod and is not asked for sandboxes. */
interface Outside extends PodRuntime {
  /** What the pod's containers are made of. */
  readonly image: string;
  readonly logTail: () => Promise<string>;
  readonly remove: () => Promise<void>;
}

interface Case {
  readonly outside: string;
  /** What the pod has of its own for it. */
  readonly pod: Readonly<Record<string, unknown>>;
  /** Why it can't be had here. */
  readonly lacks: () => string | undefined;
  readonly start: (network: NodeNetwork) => Promise<Outside>;
}

async function thisRuntime(): Promise<Outside> {
  const daemon = await Daemon.start({ images: [await imageOfBuild()], config: 'host_namespaces = "native"\n' });
  const { socket, cgroupParent } = daemon;
  return {
    ...{ socket, cgroupParent, image: buildImage },
    removePods: () => daemon.removePods(),
    logTail: () => daemon.logTail(),
    remove: () => daemon.remove(),
  };
}

const containerd =
  (runc: string | undefined) =>
  async (network: NodeNetwork): Promise<Outside> =>
    await startContainerdNode({
      ...{ programs: containerdDirectory() ?? "", network, image: await imageOfBuild() },
      ...(runc === undefined ? {} : { runc }),
    });

const noContainerd = (): string | undefined =>
  containerdDirectory() === undefined ? "no containerd: the set-up builds it where Go is installed" : undefined;
const cases: readonly Case[] = [
  // It has no network to give: a lone kubelet knows no RuntimeClass, and pods of the host's network are of the host without one.
  { outside: "this runtime", pod: { hostNetwork: true }, lacks: () => undefined, start: thisRuntime },
  { outside: "containerd and runc", pod: {}, lacks: noContainerd, start: containerd(undefined) },
  {
    outside: "containerd and runc, in a user namespace",
    pod: { hostUsers: false },
    lacks: () =>
      noContainerd() ??
      (mappingRunc() === undefined ? "no runc that maps owners: npm run setup -- cluster builds one" : undefined),
    start: containerd(mappingRunc()),
  },
];

for (const one of cases) {
  describe(`An app with a sidecar, by a real kubelet over ${one.outside}`, function () {
    this.timeout(limit(180_000));
    sidecarTests(one);
  });
}

function sidecarTests({ pod: ofCase, lacks, start }: Case): void {
  const undo = new Undo();
  let outside: Outside;
  let kubelet: Kubelet;

  before("the pod of deploy/sidecar", async function () {
    this.timeout(limit(300_000));
    if (!existsSync(kubeletProgram)) skipBecause(this, "no kubelet: the set-up builds it where Go is installed");
    const lacking = lacks();
    if (lacking !== undefined) skipBecause(this, lacking);
    const directory = await mkdtemp(join(tmpdir(), "a3s-h"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    const network = await NodeNetwork.here();
    undo.add(() => network.remove());
    await mkdir(join(directory, "skills/review"), { recursive: true });
    await writeFile(join(directory, "skills/review/SKILL.md"), "a skill\n");
    await writeArchive(join(directory, "base.tar"), [await busybox()]);
    outside = await start(network);
    undo.add(() => outside.remove());
    kubelet = await Kubelet.start(outside);
    undo.add(() => kubelet.remove());
    const { metadata, spec } = podSchema.parse(loadYaml(await textOf("deploy/sidecar/pod.yaml")));
    const annotations = Object.fromEntries(
      Object.entries(metadata.annotations).map(([key, text]) => [key, configOf(text)]),
    );
    const pod = { ...(await podOf(spec, directory, outside.image)), ...ofCase };
    await kubelet.place("app", pod, "default", annotations);
    await kubelet.ready("app", 150_000);
    expect(await inside("a3s-box", [...buildProgram, "image", "import", "/node/base.tar"])).to.contain(busyboxImage);
  });
  after(async function () {
    this.timeout(limit(180_000));
    await undo.run();
  });
  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    process.stderr.write(`--- kubelet\n${await kubelet.logTail()}\n--- runtime\n${await outside.logTail()}\n`);
  });

  const inside = (container: string, command: readonly string[]): Promise<string> =>
    runInside(kubelet, { pod: "app", container }, command);

  it("has what a Box needs, by its own word", async () => {
    const said = await inside("a3s-box", [...buildProgram, "check"]);
    expect(said).to.contain("Boxes can be run here, by qemu.");
    expect(said).to.match(/capabilities +OK/);
  });

  it("runs commands of the app's SDK in a microVM; workspace both ways, skills one way", async () => {
    const script = join(projectDirectory, "test/support/deploy/sidecar-app.ts");
    const seen = seenSchema.parse(
      JSON.parse(
        await inside("app", ["sh", "-c", `cd ${projectDirectory} && ${process.execPath} --import=tsx ${script}`]),
      ),
    );
    expect(seen["kernel"]).to.match(/0$/).and.not.contain(release());
    expect(seen["workspace"]).to.equal("given\n0");
    expect(seen["inApp"]).to.equal("made\n");
    expect(seen["skills"]).to.equal("a skill\n0");
    expect(seen["writesSkills"])
      .to.match(/Read-only file system/)
      .and.match(/1$/);
    expect(seen["files"]).to.equal("one");
  });

  it("has its memory limit as the bound of all sandboxes: what is over it costs the sandbox, and nobody else", async function () {
    this.timeout(limit(300_000));
    const fill = `dd if=/dev/zero of=/dev/null bs=${String(hogMib)}M count=1; echo filled`;
    const said = await inside("app", [process.execPath, "-e", hog, fill]);
    expect(said)
      .to.match(/^(?:gone|answered)/)
      .and.not.contain("filled");
    const peak = z.array(z.object({ peak: z.number(), limit: z.number() }));
    const groups = peak.parse(JSON.parse(await inside("a3s-box", [process.execPath, "-e", peaks])));
    expect(groups.length).to.be.greaterThan(0);
    for (const group of groups) {
      expect(group.limit).to.equal(memoryLimit << 20);
      expect(group.peak).to.be.within(group.limit * 0.95, group.limit);
    }
    const again = await inside("app", [process.execPath, "-e", hog, "echo served"]);
    expect(again).to.contain("served");
  });

  it("has figures: its own, and kubelet's of what its sandboxes take", async () => {
    const text = await inside("app", [process.execPath, "-e", get, `http://${metricsAddress}/metrics`]);
    expect(text).to.match(/^a3s_box_boxes_started_total\b.* [1-9]/m);
    await eventually("the summary has the sidecar's memory", 60_000, async () => {
      const { pods } = summarySchema.parse(await kubelet.json("/stats/summary"));
      const app = pods.find(({ podRef }) => podRef.name === `app-${nodeName}`);
      const bytes = app?.containers?.find(({ name }) => name === "a3s-box")?.memory?.workingSetBytes ?? 0;
      return bytes > 0 && bytes <= memoryLimit << 20 ? true : undefined;
    });
  });

  it("goes on through kubelet's restart: no process of a sandbox is another, and no line of its output is lost", async () => {
    const box = (...words: string[]): Promise<string> => inside("app", [...buildProgram, ...words]);
    const identity = async (): Promise<string> =>
      JSON.stringify((await kubelet.ready("app")).status, [
        "initContainerStatuses",
        "containerStatuses",
        "containerID",
      ]);
    const id = await box("run", "-d", "--name", "work", "base", "sh", "-c", counting);
    const boot = await box("exec", "work", "cat", "/proc/sys/kernel/random/boot_id");
    const before = [await identity(), await linesOf(box, 5)] as const;
    await kubelet.stop();
    await kubelet.launch();
    expect(await identity()).to.equal(before[0]);
    expect(await linesOf(box, before[1] + 5)).to.be.greaterThan(before[1]);
    expect(await box("exec", "work", "cat", "/proc/sys/kernel/random/boot_id")).to.equal(boot);
    expect(await box("ps", "-q")).to.equal(id);
    await box("rm", "work");
  });

  it("has started before the app, and neither has been started again", async () => {
    const pod = await kubelet.pod("app");
    const all = [...(pod?.status.initContainerStatuses ?? []), ...(pod?.status.containerStatuses ?? [])];
    expect(all.map(({ name, restartCount }) => [name, restartCount])).to.deep.equal([
      ["a3s-box", 0],
      ["app", 0],
    ]);
    const [sidecar, app] = all.map(({ state }) => state.running?.startedAt ?? "");
    expect((sidecar ?? "") <= (app ?? "")).to.equal(true);
  });
}

/** Of the program `counting` in the sandbox `work`, of which each is there once: how many, once there are `least`. */
async function linesOf(box: (...words: string[]) => Promise<string>, least: number): Promise<number> {
  return await eventually(`${String(least)} lines of output`, 60_000, async () => {
    const lines = (await box("logs", "work")).trim().split("\n");
    expect(lines).to.deep.equal(lines.map((_, at) => String(at + 1)));
    return lines.length >= least ? lines.length : undefined;
  });
}

/** As it is written, but for programs, image, device and a network that a lone kubelet can give. */
async function podOf(
  written: z.infer<typeof podSchema>["spec"],
  directory: string,
  image: string,
): Promise<Record<string, unknown>> {
  const { mounts, volumes } = await buildInPod();
  const own = { image, imagePullPolicy: "IfNotPresent" };
  const [sidecar] = written.initContainers;
  const [app] = written.containers;
  const node = { name: "node", mountPath: "/node", readOnly: true };
  const probe = sidecar.startupProbe?.exec.command.slice(1) ?? [];
  const skills = { name: "a3s-box-skills", hostPath: { path: join(directory, "skills"), type: "Directory" } };
  return {
    terminationGracePeriodSeconds: 5,
    initContainers: [
      {
        ...{ ...sidecar, ...own, command: buildProgram, volumeMounts: [...sidecar.volumeMounts, ...mounts, node] },
        startupProbe: { ...sidecar.startupProbe, exec: { command: [process.execPath, ...probe] } },
        resources: { requests: { cpu: "300m" }, limits: { memory: `${String(memoryLimit)}Mi` } },
      },
    ],
    containers: [
      {
        ...{ ...app, ...own, command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.5; done"] },
        ...{ volumeMounts: [...app.volumeMounts, ...mounts], resources: { requests: { cpu: "100m" } } },
      },
    ],
    volumes: [
      ...written.volumes.filter(({ name }) => name !== "a3s-box-skills"),
      ...[skills, { name: "node", hostPath: { path: directory, type: "Directory" } }],
      ...volumes,
    ],
  };
}
