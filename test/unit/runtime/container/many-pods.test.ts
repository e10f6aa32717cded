/** What stays with the daemon of pods that have come and gone. */
import { mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { Limiter } from "../../../../src/base/limiter.js";
import { neverAborted } from "../../../../src/base/signals.js";
import { Mount, MountPropagation } from "../../../../src/gen/runtime/v1/api.js";
import { createContainer } from "../../../../src/cri/rpc/create-container.js";
import { removeContainer } from "../../../../src/cri/rpc/remove-container.js";
import { removePodSandbox } from "../../../../src/cri/rpc/remove-pod-sandbox.js";
import { startContainer } from "../../../../src/cri/rpc/start-container.js";
import { stopPodSandbox } from "../../../../src/cri/rpc/stop-pod-sandbox.js";
import { LiveTimers } from "../../../support/live-timers.js";
import { eventually, limit } from "../../../support/wait.js";
import { call, containerRequest, makeWorld, type World } from "./fakes.js";

/** What each pod leaves shows with far fewer; a thousand take half a minute. */
const pods = Number(process.env["A3S_CHURN_PODS"] ?? "200");
const { PROPAGATION_HOST_TO_CONTAINER: fromHost } = MountPropagation;

describe("Pods that come and go", () => {
  let world: World;
  let volume: string;
  beforeEach(async () => {
    world = await makeWorld("/dev/shm"); // a disk would be waited for a thousand times
    volume = join(world.directory, "volume");
    await mkdir(volume);
  });
  afterEach(async function () {
    this.timeout(limit(20_000));
    await world.remove();
  });

  /** In the three ways in which a pod ends: container by container, as a whole, and by the death of its Box. */
  const comesAndGoes = async (index: number): Promise<void> => {
    const { sandbox, box } = await world.addPod();
    const podSandboxId = sandbox.id;
    const map = await configMap(join(world.directory, `map-${index}`));
    const mounts = [
      Mount.fromPartial({ hostPath: map, containerPath: "/config", readonly: true }),
      Mount.fromPartial({ hostPath: volume, containerPath: "/data", propagation: fromHost }),
    ];
    const request = { ...containerRequest(world, { mounts, logPath: "" }), podSandboxId };
    const { containerId } = await createContainer(request, call(), world.deps);
    if (index % 2 === 0) await startContainer({ containerId }, call(), world.deps);
    if (index % 3 === 0) box.die("killed");
    await stopPodSandbox({ podSandboxId }, call(), world.deps);
    if (index % 3 === 1) await removeContainer({ containerId }, call(), world.deps);
    await removePodSandbox({ podSandboxId }, call(), world.deps);
  };

  it(`leave no watch, timer, entry or descriptor: ${pods} with a ConfigMap and a volume that is followed`, async function () {
    this.timeout(limit(180_000));
    const timers = new LiveTimers(["/later-mounts", "/volume-mounts", "/mount-changes", "/mirrors"]);
    try {
      await comesAndGoes(0);
      const [descriptors, watches] = [await openFiles(), await inotifyWatches()];
      const turns = new Limiter<"pod">({ inAll: 20 });
      const turn = (index: number): Promise<void> => turns.run("pod", neverAborted, () => comesAndGoes(index));
      await Promise.all(Array.from({ length: pods }, (_none, index) => turn(index + 1)));
      expect(world.deps.containers.list()).to.deep.equal([]);
      const { mirrors, laterMounts } = world.deps.containers;
      expect([mirrors.size, laterMounts.size, world.watches.live.size]).to.deep.equal([0, 0, 0]);
      expect(await inotifyWatches()).to.equal(watches);
      expect(without(await openFiles(), descriptors)).to.deep.equal([]);
      await eventually("no timer is left", 5_000, () => Promise.resolve(timers.stacks.length === 0 || undefined));
    } finally {
      timers[Symbol.dispose]();
    }
  });
});

/** As kubelet's AtomicWriter writes it. */
async function configMap(path: string): Promise<string> {
  await mkdir(join(path, "..v1"), { recursive: true });
  await writeFile(join(path, "..v1/key"), "one\n");
  await symlink("..v1", join(path, "..data"));
  await symlink("..data/key", join(path, "key"));
  return path;
}

/** What the process's descriptors are, without what the look itself has open. */
async function openFiles(): Promise<string[]> {
  const all = await Promise.all(
    (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")),
  );
  return all.filter((path) => path !== "" && !path.startsWith(`/proc/${process.pid}/`)).sort();
}

/** Each as often as it is there more often; the loader of the tests closes some of its own meanwhile. */
function without(all: readonly string[], known: readonly string[]): string[] {
  const left = [...known];
  return all.filter((one) => {
    const at = left.indexOf(one);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

async function inotifyWatches(): Promise<number> {
  const files = await Promise.all(
    (await readdir("/proc/self/fdinfo")).map((fd) => readFile(`/proc/self/fdinfo/${fd}`, "utf8").catch(() => "")),
  );
  return files.join("").split("inotify wd:").length - 1;
}
