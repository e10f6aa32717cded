/**
 * The pod of deploy/sidecar with a real kubelet, as a pod of the host: the sidecar has the rights that are written there and
 * no more, and makes microVMs. The programs are this build's, by hostPaths, in place of an image's.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { loadYaml } from "@kubernetes/client-node";
import { expect } from "chai";
import { z } from "zod";
import { Daemon } from "../support/daemon.js";
import { textOf } from "../support/documents.js";
import { buildImage, buildInPod, buildProgram, imageOfBuild, runInside } from "../support/deploy/build-in-pod.js";
import { busybox, busyboxImage, writeArchive } from "../support/images.js";
import { Kubelet, kubeletProgram } from "../support/kubelet.js";
import { NodeNetwork } from "../support/node-network.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { limit } from "../support/wait.js";

const memoryLimit = 700;
const hogMib = 900;
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
    .replace(/^image = .*$/m, `image = "${busyboxImage}"`);
}

describe("An app with a sidecar, by a real kubelet", function () {
  this.timeout(limit(180_000));
  const undo = new Undo();
  let daemon: Daemon;
  let kubelet: Kubelet;

  before("the pod of deploy/sidecar", async function () {
    this.timeout(limit(300_000));
    if (!existsSync(kubeletProgram)) skipBecause(this, "no kubelet: the set-up builds it where Go is installed");
    const directory = await mkdtemp(join(tmpdir(), "a3s-h"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    const network = await NodeNetwork.here();
    undo.add(() => network.remove());
    await mkdir(join(directory, "skills/review"), { recursive: true });
    await writeFile(join(directory, "skills/review/SKILL.md"), "a skill\n");
    await writeArchive(join(directory, "base.tar"), [await busybox()]);
    daemon = await Daemon.start({ images: [await imageOfBuild()], config: 'host_namespaces = "native"\n' });
    undo.add(() => daemon.remove());
    kubelet = await Kubelet.start(daemon);
    undo.add(() => kubelet.remove());
    const { metadata, spec } = podSchema.parse(loadYaml(await textOf("deploy/sidecar/pod.yaml")));
    const annotations = Object.fromEntries(
      Object.entries(metadata.annotations).map(([key, text]) => [key, configOf(text)]),
    );
    await kubelet.place("app", await podOf(spec, directory), "default", annotations);
    await kubelet.ready("app", 150_000);
    expect(await inside("a3s-box", [...buildProgram, "image", "import", "/node/base.tar"])).to.contain(busyboxImage);
  });
  after(async function () {
    this.timeout(limit(180_000));
    await undo.run();
  });
  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    process.stderr.write(`--- kubelet\n${await kubelet.logTail()}\n--- daemon\n${await daemon.logTail()}\n`);
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
    const line = (words: string): string =>
      `head -c ${String(hogMib)}m /dev/zero | tail -c ${String(hogMib)}m | wc -c; echo ${words}`;
    const said = await inside("app", [process.execPath, "-e", hog, line("filled")]);
    expect(said)
      .to.match(/^(?:gone|answered)/)
      .and.not.contain("filled");
    const peak = z.array(z.object({ peak: z.number(), limit: z.number() }));
    const groups = peak.parse(JSON.parse(await inside("a3s-box", [process.execPath, "-e", peaks])));
    expect(groups.length).to.be.greaterThan(0);
    for (const group of groups) {
      expect(group.limit).to.equal(memoryLimit << 20);
      expect(group.peak).to.be.at.most(group.limit);
    }
    const again = await inside("app", [process.execPath, "-e", hog, "echo served"]);
    expect(again).to.contain("served");
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
});

/** As it is written, but for programs, image, device and a network that a lone kubelet can give. */
async function podOf(written: z.infer<typeof podSchema>["spec"], directory: string): Promise<Record<string, unknown>> {
  const { mounts, volumes } = await buildInPod();
  const own = { image: buildImage, imagePullPolicy: "Never" };
  const [sidecar] = written.initContainers;
  const [app] = written.containers;
  const node = { name: "node", mountPath: "/node", readOnly: true };
  const probe = sidecar.startupProbe?.exec.command.slice(1) ?? [];
  const skills = { name: "a3s-box-skills", hostPath: { path: join(directory, "skills"), type: "Directory" } };
  return {
    ...{ hostNetwork: true, terminationGracePeriodSeconds: 5 },
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
