/**
 * The pod of the chart's DaemonSet with a real kubelet, as helm renders it, as a pod of the host; beside it apps of two namespaces,
 * which have its socket. A ConfigMap's files are of a hostPath here: there is no API server.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { z } from "zod";
import { cgroupHierarchies, Daemon } from "../support/daemon.js";
import { buildImage, buildInPod, buildProgram, imageOfBuild, runInside } from "../support/deploy/build-in-pod.js";
import { untilEmptied } from "../support/deploy/until-emptied.js";
import { hasHelm, Helm, noHelm } from "../support/deploy/helm.js";
import { busybox, busyboxImage, writeArchive } from "../support/images.js";
import { isReady, Kubelet, kubeletProgram, readOnlyUrl } from "../support/kubelet.js";
import { NodeNetwork } from "../support/node-network.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

const tenants = ["team-a", "team-b"] as const;
type Tenant = (typeof tenants)[number];
const containerSchema = z.looseObject({ name: z.string(), volumeMounts: z.array(z.looseObject({ name: z.string() })) });
const podSchema = z.looseObject({
  initContainers: z.array(containerSchema),
  containers: z.tuple([
    containerSchema.extend({ readinessProbe: z.looseObject({ exec: z.object({ command: z.array(z.string()) }) }) }),
  ]),
  volumes: z.array(z.looseObject({ name: z.string() })),
});
const daemonSetSchema = z.looseObject({ spec: z.looseObject({ template: z.looseObject({ spec: podSchema }) }) });
const filesSchema = z.looseObject({ data: z.record(z.string(), z.string()) });
const answerSchema = z.object({ status: z.number(), body: z.string() });

/** One request at the socket; prints what is answered. */
const client = `
const [socketPath, method, path, body] = process.argv.slice(1);
const request = require("node:http").request({ socketPath, method, path, headers: { host: "localhost" } }, (answer) => {
  let text = "";
  answer.setEncoding("utf8").on("data", (part) => (text += part));
  answer.on("end", () => console.log(JSON.stringify({ status: answer.statusCode, body: text })));
});
request.end(body);
`;

/** Over what a pod takes to be replaced, and not much: the last test waits for it. */
const unservedSeconds = 45;

describe("The chart's DaemonSet, by a real kubelet", function () {
  this.timeout(limit(120_000));
  const undo = new Undo();
  let directory: string;
  let profiles: string;
  let server: Record<string, unknown>;
  let daemon: Daemon;
  let kubelet: Kubelet;

  before("its pod, and an app in each of two namespaces", async function () {
    this.timeout(limit(300_000));
    if (!existsSync(kubeletProgram)) skipBecause(this, "no kubelet: the set-up builds it where Go is installed");
    if (!hasHelm()) skipBecause(this, noHelm);
    directory = await mkdtemp(join(tmpdir(), "a3s-h"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    undo.add(nothingOnNode); // also where a test has failed: Boxes are in no group of the daemon's or kubelet's
    const network = await NodeNetwork.here();
    undo.add(() => network.remove());
    await writeArchive(join(directory, "base.tar"), [await busybox()]);
    daemon = await Daemon.start({ images: [await imageOfBuild()], config: 'host_namespaces = "native"\n' });
    undo.add(() => daemon.remove());
    kubelet = await Kubelet.start(daemon);
    undo.add(() => kubelet.remove());
    profiles = join(kubelet.base, "root/seccomp");
    server = await serverPod();
    await kubelet.place("server", server, "a3s");
    await kubelet.until("server", "is Ready", 150_000, isReady, "a3s");
    const imported = await inServer([...buildProgram, "image", "import", "/node/base.tar"]);
    expect(imported).to.contain(busyboxImage);
    for (const tenant of tenants) await kubelet.place("app", await appPod(), tenant);
    for (const tenant of tenants) await kubelet.until("app", "is Ready", 120_000, isReady, tenant);
  });
  after(async function () {
    this.timeout(limit(180_000));
    await undo.run();
  });
  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    process.stderr.write(`--- kubelet\n${await kubelet.logTail()}\n--- daemon\n${await daemon.logTail()}\n`);
  });

  /** The process that waits for the next pod has given up, and ended all. */
  const nothingOnNode = (): Promise<void> => untilEmptied(directory, ["store", "state"], unservedSeconds * 1000);
  const inServer = (command: readonly string[]): Promise<string> =>
    runInside(kubelet, { pod: "server", container: "a3s-box", namespace: "a3s" }, command);
  const ask = async (tenant: Tenant, method: string, path: string, body?: object) => {
    const text = body === undefined ? "" : JSON.stringify(body);
    const words = [process.execPath, "-e", client, "/var/run/a3s/a3s-box.sock", method, path, text];
    const said = await runInside(kubelet, { pod: "app", container: "app", namespace: tenant }, words);
    return answerSchema.parse(JSON.parse(said));
  };

  /** What helm makes of the values, with what a kubelet alone can't give in its place. */
  async function serverPod(): Promise<Record<string, unknown>> {
    const helm = await Helm.open();
    undo.add(() => helm.close());
    const sandboxes = { pull: "never", network: "none", quota: { sandboxes: 2 } };
    const objects = await helm.rendered({
      a3sBox: { driver: "qemu" },
      kvm: { enabled: false },
      image: { repository: "localhost/test/build", tag: "1", pullPolicy: "Never" },
      config: { sandboxes, templates: { base: { image: busyboxImage, vcpus: 1, memory_mib: 256 } } },
      daemonSet: {
        kubelet: { url: readOnlyUrl },
        socket: { directory: join(directory, "socket") },
        store: { path: join(directory, "store") },
        outlive: { seconds: unservedSeconds, stateDirectory: join(directory, "state") },
        resources: { limits: { memory: "900Mi" } },
      },
      seccomp: { directory: profiles },
    });
    await mkdir(join(directory, "files"));
    for (const one of objects.filter(({ kind }) => kind === "ConfigMap")) {
      await mkdir(join(directory, "files", one.metadata.name));
      for (const [name, text] of Object.entries(filesSchema.parse(one).data)) {
        await writeFile(join(directory, "files", one.metadata.name, name), text);
      }
    }
    for (const name of ["store", "state"]) await mkdir(join(directory, name));
    const { spec } = daemonSetSchema.parse(objects.find(({ kind }) => kind === "DaemonSet")).spec.template;
    const { mounts, volumes } = await buildInPod();
    const inBuild = <T extends z.infer<typeof containerSchema>>(one: T): T => ({
      ...one,
      resources: { requests: { cpu: "300m" }, limits: { memory: "900Mi" } },
      volumeMounts: [...one.volumeMounts, ...mounts, { name: "node", mountPath: "/node", readOnly: true }],
    });
    const [server] = spec.containers;
    const probe = server.readinessProbe.exec.command.slice(1);
    const readinessProbe = {
      ...server.readinessProbe,
      exec: { command: [process.execPath, ...probe] },
      periodSeconds: 2,
    };
    const removal = `require('fs').rmSync('/profiles/${profileName(spec)}',{force:true})`;
    const lifecycle = { preStop: { exec: { command: [process.execPath, "-e", removal] } } };
    return {
      ...without(spec, ["serviceAccountName", "nodeSelector"]),
      terminationGracePeriodSeconds: 20,
      initContainers: spec.initContainers.map(inBuild),
      containers: [inBuild({ ...server, command: buildProgram, readinessProbe, lifecycle })],
      volumes: [
        ...spec.volumes.map((volume) => {
          const files = z.looseObject({ configMap: z.object({ name: z.string() }) }).safeParse(volume);
          if (!files.success) return volume;
          const path = join(directory, "files", files.data.configMap.name);
          return { name: volume.name, hostPath: { path, type: "Directory" } };
        }),
        ...volumes,
        { name: "node", hostPath: { path: directory, type: "Directory" } },
      ],
    };
  }

  /** Of the profile that the container has, as its security context names it. */
  function profileName(spec: z.infer<typeof podSchema>): string {
    const context = z.looseObject({
      securityContext: z.looseObject({
        seccompProfile: z.object({ type: z.literal("Localhost"), localhostProfile: z.string() }),
      }),
    });
    return context.parse(spec.containers[0]).securityContext.seccompProfile.localhostProfile;
  }

  async function appPod(): Promise<Record<string, unknown>> {
    const { mounts, volumes } = await buildInPod();
    const container = {
      ...{ name: "app", image: buildImage, imagePullPolicy: "Never" },
      command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.5; done"],
      resources: { requests: { cpu: "100m" } },
      // Nobody in particular: the socket is everybody's, and the kernel says who calls.
      securityContext: { runAsUser: 1000 },
      volumeMounts: [...mounts, { name: "a3s", mountPath: "/var/run/a3s" }],
    };
    const socket = { name: "a3s", hostPath: { path: join(directory, "socket"), type: "Directory" } };
    return {
      hostNetwork: true,
      terminationGracePeriodSeconds: 2,
      containers: [container],
      volumes: [socket, ...volumes],
    };
  }

  it("has its seccomp profile, and what a Box needs", async () => {
    expect(await readdir(profiles)).to.deep.equal(["a3s-box-a3s-box.json"]);
    expect(await inServer(["sh", "-c", "grep Seccomp: /proc/self/status"])).to.match(/2$/m);
    const said = await inServer([...buildProgram, "check"]);
    expect(said)
      .to.contain("Boxes can be run here, by qemu.")
      .and.match(/jail of a Box +OK +entered, under a seccomp filter/);
  });

  it("gives each namespace a sandbox of its own, and no sight of the other's", async () => {
    const made = await ask("team-a", "POST", "/v1/sandboxes", { template: "base" });
    expect(made.status, made.body).to.equal(201);
    const id = /"id":"([a-z0-9]{20})"/.exec(made.body)?.[1] ?? "";
    const ran = await ask("team-a", "POST", `/v1/sandboxes/${id}/run`, { command: "uname -r" });
    expect(ran.status, ran.body).to.equal(200);
    expect(ran.body).to.contain('"exit_code":0').and.not.contain(release());
    expect((await ask("team-b", "GET", `/v1/sandboxes/${id}`)).status).to.equal(404);
    expect((await ask("team-b", "GET", "/v1/sandboxes")).body).to.not.contain(id);
  });

  it("keeps each to its quota", async () => {
    const second = await ask("team-a", "POST", "/v1/sandboxes", { template: "base" });
    expect(second.status, second.body).to.equal(201);
    const third = await ask("team-a", "POST", "/v1/sandboxes", { template: "base" });
    expect([third.status, third.body.includes("RESOURCE_EXHAUSTED")]).to.deep.equal([429, true]);
    const other = await ask("team-b", "POST", "/v1/sandboxes", { template: "base" });
    expect(other.status, other.body).to.equal(201);
  });

  it("is replaced under its sandboxes: they and their programs go on, no output is lost, and quotas hold", async () => {
    const [id] = /[a-z0-9]{20}/.exec((await ask("team-a", "GET", "/v1/sandboxes")).body) ?? [];
    const bootOf = async (): Promise<string> => {
      const command = "cat /proc/sys/kernel/random/boot_id";
      const { status, body } = await ask("team-a", "POST", `/v1/sandboxes/${String(id)}/run`, { command });
      expect(status, body).to.equal(200);
      return body;
    };
    const inB = (...words: readonly string[]): Promise<string> =>
      runInside(kubelet, { pod: "app", container: "app", namespace: "team-b" }, [...buildProgram, ...words]);
    const linesOf = async (least: number): Promise<number> =>
      await eventually(`${String(least)} lines`, 60_000, async () => {
        const lines = (await inB("logs", "work")).trim().split("\n");
        expect(lines).to.deep.equal(lines.map((_, at) => String(at + 1)));
        return lines.length >= least ? lines.length : undefined;
      });
    const boot = await bootOf();
    await inB(
      "run",
      "-d",
      "--name",
      "work",
      "base",
      "sh",
      "-c",
      "i=0; while :; do i=$((i+1)); echo $i; sleep 0.3; done",
    );
    const lines = await linesOf(3);
    const before = await kubelet.pod("server", "a3s");
    await kubelet.place("server", { ...server, terminationGracePeriodSeconds: 21 }, "a3s");
    await kubelet.until(
      "server",
      "is another one, and Ready",
      150_000,
      (pod) => pod.metadata.uid !== before?.metadata.uid && isReady(pod),
      "a3s",
    );
    expect(await eventually("it serves", 30_000, bootOf)).to.equal(boot);
    await linesOf(lines + 10);
    expect((await ask("team-b", "POST", "/v1/sandboxes", { template: "base" })).status).to.equal(429);
    expect((await ask("team-b", "GET", `/v1/sandboxes/${String(id)}`)).status).to.equal(404);
  });

  it("bounds what all its Boxes take together, outside of its own groups", async () => {
    const bounds = await Promise.all(
      (await cgroupHierarchies()).flatMap((hierarchy) =>
        ["memory.limit_in_bytes", "memory.max"].map((name) =>
          readFile(join(hierarchy, "a3s-box", name), "utf8").catch(() => undefined),
        ),
      ),
    );
    expect(bounds.filter((text) => text !== undefined)).to.deep.equal([`${String(900 * 1024 * 1024)}\n`]);
  });

  it("leaves nothing on the node when none takes its place, but empty directories", async function () {
    this.timeout(limit(240_000));
    await rm(join(kubelet.base, "manifests/a3s.server.json"));
    await eventually("its profile is gone", 60_000, async () =>
      (await readdir(profiles)).length === 0 ? true : undefined,
    );
    await eventually("its socket is gone", 60_000, async () =>
      (await readdir(join(directory, "socket"))).length === 0 ? true : undefined,
    );
    const records = join(directory, "store/records/sandboxes");
    expect(await readdir(records), "pods live on for a while").to.have.length(4);
    await nothingOnNode();
    await eventually("no group of Boxes is left", 10_000, async () => {
      const groups = (await cgroupHierarchies()).map((hierarchy) => join(hierarchy, "a3s-box"));
      return groups.some((group) => existsSync(group)) ? undefined : true;
    });
  });
});

/** There is no API server that would have them. */
function without(object: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}
