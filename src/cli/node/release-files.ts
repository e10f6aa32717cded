/** This release as a node has it: the tree below /opt, the link to it, the unit, the configuration. */
import { mkdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import { isThere } from "../../base/is-there.js";
import { textOf } from "../install.js";
import { installedFiles, unitName } from "../installed-files.js";
import { removeSaid, unitText, type AskedUnit } from "./asked-units.js";
import { wasAll } from "./in-use.js";
import { copyTree, isTree, leadTo, linkedRelease, releaseLink, removeAllTrees, treeName } from "./release-trees.js";

export interface ReleaseOptions {
  /** Where the node's root is seen, as far as it is. */
  readonly host: string;
  /** The tree to copy: this process's own. */
  readonly tree: string;
  /** config.toml as the cluster's owner has it; undefined: the node's own stays, or a default one is put there. */
  readonly config: string | undefined;
}

/** `check` as the node's daemon would find it: this container's own rights are not the daemon's. */
export const checkUnit: AskedUnit = {
  name: "a3s-box-check.service",
  about: `What this node can do for ${unitName}`,
  command: "check",
  end: /^Boxes (can|can't) be run here.*$/m,
  limitMs: 200_000,
};
export const inUseUnit: AskedUnit = {
  name: "a3s-box-in-use.service",
  about: `Which releases of ${unitName} something runs from`,
  command: "node in-use",
  end: wasAll,
  limitMs: 80_000,
};
const askedUnits = [checkUnit, inUseUnit];
const configPath = "/etc/a3s-box/config.toml";
/** The first line of a file that is this program's to change and to take away. */
const mark = "# Written by the chart a3s-box: a change here is undone. Its values have `cri.config`.\n";
/** There from before the first change until the daemon runs by it. A start of the node takes it, and starts the daemon anew. */
const restartNote = "/run/a3s-box-of-chart-restart";

/**
 * Puts it in place; true where the daemon is to be started anew for it: something is another than before, or was at an earlier time
 * that did not get as far as that. What runs from an earlier tree keeps it.
 */
export async function placeRelease({ host, tree, config }: ReleaseOptions, signal: AbortSignal): Promise<boolean> {
  await refuseOthers(host, config);
  const wasNoted = await isThere(join(host, restartNote));
  await writeFile(join(host, restartNote), "");
  const name = await treeName(tree);
  const isNew = await copyTree(tree, host, name, signal);
  const linked = await leadTo(host, name);
  let changed = isNew || linked;
  for (const [path, text, mode] of await wantedFiles(host, config)) {
    const written = await write(join(host, path), text, mode);
    changed ||= written;
  }
  if (!changed && !wasNoted) await noteRestarted({ host });
  return changed || wasNoted;
}

/** The daemon runs by what is in place. */
export async function noteRestarted({ host }: Pick<ReleaseOptions, "host">): Promise<void> {
  await rm(join(host, restartNote), { force: true });
}

/** Whether the release that the node has is one that `placeRelease` has put there: it points the link before it writes the units. */
export async function isPlaced({ host }: Pick<ReleaseOptions, "host">): Promise<boolean> {
  const to = await linkedRelease(host);
  return to !== undefined && isTree(basename(to));
}

/** Takes away what `placeRelease` puts there, and nothing of others'. Images, records and whatever pods there are stay. */
export async function removeRelease({ host }: Pick<ReleaseOptions, "host">): Promise<void> {
  const isOurs = await isPlaced({ host });
  for (const [path] of isOurs ? await wantedFiles(host, undefined) : []) {
    if (path !== configPath) await rm(join(host, path), { force: true });
  }
  const config = join(host, configPath);
  if ((await textOf(config))?.startsWith(mark) === true) await rm(config);
  await rmdir(dirname(config)).catch(() => undefined); // others may have put files there
  for (const unit of askedUnits) await removeSaid(host, unit);
  await noteRestarted({ host });
  if (isOurs) await rm(join(host, releaseLink), { force: true });
  await removeAllTrees(host);
}

/** What others have put there is theirs: a release by hand, a package of Debian, a configuration. */
async function refuseOthers(host: string, config: string | undefined): Promise<void> {
  const to = await linkedRelease(host);
  const isTheirs = to === undefined ? await isThere(join(host, releaseLink)) : !isTree(basename(to));
  if (isTheirs) throw theirs(releaseLink, "remove that installation first");
  const present = await textOf(join(host, configPath));
  if (config === undefined || present === undefined || present.startsWith(mark)) return;
  throw theirs(configPath, "move it away, and put what it says into the chart's cri.config");
}

function theirs(path: string, hint: string): RuntimeError {
  return new RuntimeError("failedPrecondition", `${path} of the node is not this chart's`, {
    stage: "place release",
    hint,
  });
}

type Wanted = readonly [path: string, text: string, mode: number];

async function wantedFiles(host: string, config: string | undefined): Promise<readonly Wanted[]> {
  const files: Wanted[] = [];
  for (const { path, text, mode = 0o644 } of await installedFiles()) {
    if (path === "/etc/crictl.yaml") continue; // of the runtime that kubelet has now
    if (path !== configPath) files.push([path, text, mode]);
    else if (config !== undefined) files.push([path, `${mark}${config}`, mode]);
    else if ((await textOf(join(host, path))) === undefined) files.push([path, `${mark}${text}`, mode]);
  }
  for (const unit of askedUnits) files.push([`/etc/systemd/system/${unit.name}`, unitText(unit), 0o644]);
  return files;
}

async function write(path: string, text: string, mode: number): Promise<boolean> {
  if ((await readFile(path, "utf8").catch(() => undefined)) === text) return false;
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await rm(`${path}.new`, { force: true });
  await writeFile(`${path}.new`, text, { mode, flag: "wx" });
  await rename(`${path}.new`, path);
  return true;
}
