/** The daemon as it was at a commit: built once on a machine, in the cache that all builds share. */
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { cached } from "../../scripts/setup/cache.js";
import { run } from "../../scripts/setup/run.js";
import { setupContext } from "../../scripts/setup/set-up.js";
import { driver } from "./daemon.js";
import { projectDirectory } from "./project.js";

const buildLimitMs = 1_800_000;

/** The earlier set-up makes what this machine's KVM can use; a run of the tests may want another driver. */
const setUpOf = (drivers: readonly string[]): string => `
import { buildDist } from "./scripts/setup/dist.ts";
import { setUp, setupContext } from "./scripts/setup/set-up.ts";
const context = setupContext(process.cwd(), AbortSignal.timeout(${String(buildLimitMs)}), console.log);
await setUp(context, { forTests: false, drivers: ${JSON.stringify(drivers)} });
await buildDist(context);
`;

/** The whole name of a commit; undefined where git has it not, as in a shallow clone or in an archive of the sources. */
export async function commitNamed(name: string): Promise<string | undefined> {
  const args = ["-C", projectDirectory, "rev-parse", "--verify", "--quiet", `${name}^{commit}`];
  const answer = await promisify(execFile)("git", args).catch(() => undefined);
  return answer?.stdout.trim();
}

/** Its directory, where `dist/main.js` is; nobody writes there. */
export async function earlierBuild(commit: string): Promise<string> {
  const signal = AbortSignal.timeout(buildLimitMs);
  const context = setupContext(projectDirectory, signal, (line) => process.stdout.write(`      ${line}\n`));
  const drivers = driver === "auto" ? ["qemu", "krun"] : [driver];
  return await cached(context, {
    name: "earlier-build",
    inputs: [commit, ...drivers],
    build: async (directory, logFile) => {
      const archive = join(directory, ".sources.tar");
      await run("git", ["-C", projectDirectory, "archive", `--output=${archive}`, commit], { signal, logFile });
      await run("tar", ["--extract", `--file=${archive}`, `--directory=${directory}`], { signal, logFile });
      await rm(archive);
      const inside = { signal, logFile, cwd: directory };
      await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], inside);
      await run(process.execPath, ["--import=tsx", "--input-type=module", "--eval", setUpOf(drivers)], inside);
    },
  });
}
