/**
 * `node --import=tsx test/support/systemd/run.ts COMMAND...`: runs a command where systemd is number 1, in namespaces of
 * its own: PIDs, mounts, cgroup v2 (without controllers where the host has those in v1). All of it ends with the command.
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { cgroupHierarchies } from "../../../src/base/cgroups.js";
import { readMountinfo } from "../../../src/base/mountinfo.js";
import { projectDirectory } from "../project.js";
import { eventually } from "../wait.js";

/** In a group of its own, once systemd answers. */
const awaitManager = `
tries=0
until systemctl list-units >/dev/null 2>&1; do
  tries=$((tries + 1)); [ $tries -lt 300 ] || { echo "systemd does not answer" >&2; exit 1; }
  sleep 0.1
done
mkdir -p /sys/fs/cgroup/tests && echo $$ >/sys/fs/cgroup/tests/cgroup.procs
exec "$@"`;

const [command, ...args] = process.argv.slice(2);
if (command === undefined) throw new Error("which command?");
const unified = cgroupHierarchies(await readMountinfo()).find(({ version }) => version === 2)?.mountPoint;
if (unified === undefined) throw new Error("cgroup v2 is not mounted");
const scratch = await mkdtemp(join(tmpdir(), "a3s-sd"));
const group = join(unified, basename(scratch));
await mkdir(group);
try {
  process.exitCode = await runInBed(command, args);
} finally {
  await removeGroups(group);
  await rm(scratch, { recursive: true });
}

async function runInBed(file: string, words: readonly string[]): Promise<number> {
  const apart = ["--pid", "--mount", "--ipc", "--uts", "--fork", "--kill-child"];
  const become = ["sh", join(projectDirectory, "test/support/systemd/init.sh"), scratch, group];
  const manager = spawn("unshare", [...apart, ...become], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [manager.stdout, manager.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => (said = (said + chunk).slice(-20_000)));
  }
  const ended = new Promise((resolve) => manager.once("exit", resolve));
  try {
    const init = await eventually("systemd is number 1", 30_000, async () => {
      const [child] = (await readFile(`/proc/${manager.pid}/task/${manager.pid}/children`, "utf8")).trim().split(" ");
      const name = await readFile(`/proc/${child}/comm`, "utf8");
      return name === "systemd\n" ? child : undefined;
    });
    // What waits for number 1 from outside: with a process in its root group no group below gets a controller.
    await mkdir(join(group, "outside"));
    await writeFile(join(group, "outside/cgroup.procs"), String(manager.pid));
    const inside = [
      "nsenter",
      "-t",
      init,
      "--pid",
      "--mount",
      "--ipc",
      "--uts",
      "--cgroup",
      "--wd=" + projectDirectory,
    ];
    const [entering = "", ...more] = [...inside, "sh", "-c", awaitManager, "sh", file, ...words];
    const environment = { ...process.env, A3S_TEST_SYSTEMD: "1", SYSTEMD_UNIT_PATH: "/etc/systemd/system" };
    const child = spawn(entering, more, { stdio: "inherit", env: environment });
    for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => child.kill(name));
    const status = await new Promise<number>((resolve) =>
      child.once("close", (code) => {
        resolve(code ?? 1);
      }),
    );
    if (status !== 0) console.error(`systemd's last words:\n${said}`);
    return status;
  } finally {
    manager.kill("SIGKILL"); // and with it number 1, and with that everything
    await ended;
  }
}

async function removeGroups(directory: string): Promise<void> {
  await eventually(`${directory} can be removed`, 20_000, async () => {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) await removeGroups(join(directory, entry.name));
    }
    await rmdir(directory);
    return true;
  });
}
