/** The project as it was at a commit, set up in a directory of its own, with the cache that all builds share. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectDirectory } from "./project.js";

const run = promisify(execFile);
const setupLimitMs = 1_800_000;
const maxBuffer = 64 * 1024 * 1024;

export interface EarlierBuild {
  readonly directory: string;
  remove(): Promise<void>;
}

/** `A3S_UPGRADE_BUILD` names a directory where that has been done already. */
export async function earlierBuild(commit: string): Promise<EarlierBuild> {
  const ready = process.env["A3S_UPGRADE_BUILD"];
  if (ready !== undefined) return { directory: ready, remove: () => Promise.resolve() };
  const directory = join(await mkdtemp(join(tmpdir(), "a3s-earlier-")), "project");
  const git = (...args: readonly string[]) => run("git", ["-C", projectDirectory, "worktree", ...args]);
  await git("add", "--detach", directory, commit);
  const remove = async (): Promise<void> => {
    await git("remove", "--force", directory);
    await rm(join(directory, ".."), { recursive: true, force: true });
  };
  try {
    await run("npm", ["run", "setup", "--", "test"], { cwd: directory, timeout: setupLimitMs, maxBuffer });
    return { directory, remove };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}
