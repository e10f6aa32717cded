/**
 * The first step of every script, on a machine that has nothing but Node: no dependency may be imported here. Checks
 * the machine, installs the npm packages where they differ from the lock file, and goes on in TypeScript.
 */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const oldestNode = [20, 11];

/** Why this machine can't run the scripts, or undefined. */
function whyNot(needsRoot) {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
    return `Node ${process.versions.node} is too old: ${oldestNode.join(".")} or newer is needed`;
  }
  if (process.platform !== "linux" || process.arch !== "x64") {
    return `${process.platform} on ${process.arch}: only Linux on x86-64 is supported`;
  }
  if (needsRoot && process.getuid() !== 0) return "not root: microVMs, mounts and namespaces need it; try sudo";
  const release = readFileSync("/etc/os-release", "utf8");
  if (!/^ID="?debian"?$/m.test(release) || !/^VERSION_CODENAME="?(bookworm|trixie)"?$/m.test(release)) {
    return "not Debian 12 or 13: the set-up takes its parts from Debian's packages";
  }
  return undefined;
}

/** True when node_modules is what the lock file says. npm keeps what it installed in a lock file of its own there. */
function isInstalled() {
  try {
    const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
    const have = JSON.parse(readFileSync(join(root, "node_modules/.package-lock.json"), "utf8")).packages;
    return Object.entries(wanted).every(
      ([name, entry]) => name === "" || entry.optional === true || have[name]?.version === entry.version,
    );
  } catch {
    return false;
  }
}

/** Runs a TypeScript file of this directory to its end, which is this process' end too. */
export function continueIn(file, args, { needsRoot = true } = {}) {
  const reason = whyNot(needsRoot);
  if (reason !== undefined) {
    console.error(reason);
    process.exit(2);
  }
  const startedAt = Date.now();
  if (!isInstalled()) {
    console.log("npm packages: installing");
    const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: root,
      stdio: "inherit",
    });
    if (npm.status !== 0) {
      console.error("npm ci failed: see above");
      process.exit(1);
    }
  }
  // Its end of the pipe closes when this process is no more, by whatever: scripts/setup/interrupted.ts looks at that.
  const env = { ...process.env, BOOTSTRAP_MS: String(Date.now() - startedAt), BOOTSTRAP_PIPE: "3" };
  const child = spawn(process.execPath, ["--import=tsx", join(root, "scripts", file), ...args], {
    cwd: root,
    stdio: ["inherit", "inherit", "inherit", "pipe"],
    env,
  });
  // Ctrl-C reaches the child by itself; this process only waits for it to clean up. A plain kill is passed on.
  process.on("SIGINT", () => undefined);
  for (const name of ["SIGTERM", "SIGHUP"]) process.on(name, () => child.kill("SIGTERM"));
  child.once("error", (thrown) => {
    console.error(thrown.message);
    process.exit(1);
  });
  child.once("exit", (code) => process.exit(code ?? 1));
}
