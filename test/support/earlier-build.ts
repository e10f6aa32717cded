/** The project as it was at a commit, set up in a folder of its own, with the cache that all builds share. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectFolder } from "./project.js";

const run = promisify(execFile);
const setupLimitMs = 1_800_000;
const maxBuffer = 64 * 1024 * 1024;

export interface EarlierBuild {
  readonly folder: string;
  remove(): Promise<void>;
}

/** `A3S_UPGRADE_BUILD` names a folder where that has been done already. */
export async function earlierBuild(commit: string): Promise<EarlierBuild> {
  const ready = process.env["A3S_UPGRADE_BUILD"];
  if (ready !== undefined) return { folder: ready, remove: () => Promise.resolve() };
  const folder = join(await mkdtemp(join(tmpdir(), "a3s-earlier-")), "project");
  const git = (...args: readonly string[]) => run("git", ["-C", projectFolder, "worktree", ...args]);
  await git("add", "--detach", folder, commit);
  const remove = async (): Promise<void> => {
    await git("remove", "--force", folder);
    await rm(join(folder, ".."), { recursive: true, force: true });
  };
  try {
    await run("npm", ["run", "setup", "--", "test"], { cwd: folder, timeout: setupLimitMs, maxBuffer });
    return { folder, remove };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}
