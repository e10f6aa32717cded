/**
 * Lives of pods with the volumes that a daemon follows while they run: a ConfigMap that kubelet changes, and a directory of the
 * host below which the host mounts and unmounts. They differ by their number in what is still there when the pod goes.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MountPropagation } from "../../../src/gen/runtime/v1/api.js";
import type { Native } from "../../../src/native/addon.js";
import { ConfigMap } from "../config-map.js";
import type { Daemon } from "../daemon.js";
import { exec, removeContainer, removePod, runPod, startContainer, testHandler, vmmPid, type Pod } from "../pods.js";

const { PROPAGATION_HOST_TO_CONTAINER: fromHost } = MountPropagation;
const tmpfsBytes = 1 << 20;

export interface VolumePodsOptions {
  readonly daemon: Daemon;
  readonly native: Native;
  /** On a mount that is shared: pods of the host see later mounts by that. */
  readonly directory: string;
}

/** In five pods two are Boxes, the others the host's. */
export function isBox(turn: number): boolean {
  return turn % 5 < 2;
}

/** One whole life. Nothing of it is left on the host; what then is left is the daemon's. */
export async function volumePod({ daemon, native, directory }: VolumePodsOptions, turn: number): Promise<void> {
  const own = await mkdtemp(join(directory, "pod-"));
  const volume = join(own, "volume");
  const [early, late] = [join(volume, "early"), join(volume, "late")];
  const config = await ConfigMap.make(join(own, "config"), { key: "one\n" });
  const secret = await ConfigMap.make(join(own, "secret"), { token: "one\n" });
  const mounts = [
    { hostPath: config.directory, containerPath: "/config", readonly: true },
    { hostPath: secret.directory, containerPath: "/secret", readonly: true },
    { hostPath: volume, containerPath: "/data", propagation: fromHost },
  ];
  await mountAt(native, early);
  await mkdir(late);
  const pod = await runPod(daemon, { logDirectory: "" }, isBox(turn) ? testHandler : "native");
  const start = (): Promise<string> => startContainer(daemon, pod, { mounts, logPath: "" });
  let container = await start();
  await config.write({ key: "two\n" });
  await secret.write({ token: "two\n" });
  await mountAt(native, late);
  const changed =
    "grep -q two /config/key && grep -q two /secret/token && [ -e /data/early/file -a -e /data/late/file ]";
  await until(daemon, container, changed);
  if (turn % 4 === 0) {
    await removeContainer(daemon, container);
    container = await start();
    await until(daemon, container, changed);
  }
  const ending = turn % 3;
  if (ending === 0) {
    await native.unmount(late, false);
    await until(daemon, container, "[ ! -e /data/late/file ]");
  }
  if (ending === 1) await native.unmount(late, false); // the daemon may be about to see it
  if (turn % 25 === 6) process.kill(await vmmPid(daemon, pod), "SIGKILL"); // a Box's
  await end(daemon, pod, container, turn);
  // Not lazily: who still had one of them would be told by EBUSY.
  if (ending === 2) await native.unmount(late, false);
  await native.unmount(early, false);
  await rm(own, { recursive: true });
}

async function mountAt(native: Native, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  await native.mountTmpfs(target, tmpfsBytes, 0o755);
  await writeFile(join(target, "file"), "mounted\n");
}

/** Every other pod is stopped as kubelet does it, container first; of the others the container runs when the sandbox stops. */
async function end(daemon: Daemon, pod: Pod, container: string, turn: number): Promise<void> {
  if (turn % 2 === 0) await removeContainer(daemon, container);
  await removePod(daemon, pod);
}

async function until(daemon: Daemon, container: string, line: string): Promise<void> {
  const loop = `until { ${line}; } 2>/dev/null; do usleep 20000; done`;
  const { exitCode, stderr } = await exec(daemon, container, ["sh", "-c", loop], 60);
  if (exitCode !== 0) throw new Error(`"${line}" ended with ${String(exitCode)}: ${stderr}`);
}
