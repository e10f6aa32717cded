import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isNotFound, RuntimeError } from "../../../src/base/errors.js";
import { withLock } from "../lock.js";
import { run, type SetupContext } from "../run.js";
import {
  type AptSource,
  mainArchive,
  parseDeb822,
  parseOneLine,
  renderSources,
  securityArchive,
  withSuites,
} from "./sources.js";

/** apt with lists, cache and sources of its own: nothing under /etc/apt or /var/lib/apt changes. */
export interface PrivateApt {
  readonly options: readonly string[];
  readonly directory: string;
}

/** Package lists older than this are fetched again before something is taken from them. */
const freshMs = 6 * 60 * 60 * 1000;

export interface PrivateAptWish {
  readonly name: string;
  /** Suites of the main archive to read. */
  readonly suites: readonly string[];
  /** Read the security updates of the first of them too, where the machine's sources name an archive of such. */
  readonly security?: true;
  /** Read the machine's own sources too, and see its installed packages; else apt believes that nothing is installed. */
  readonly onTopOfMachine: boolean;
}

/** Makes the private configuration under the cache directory and fetches the package lists where they are old. */
export async function privateApt(context: SetupContext, wish: PrivateAptWish): Promise<PrivateApt> {
  const directory = join(context.cache, "apt", wish.name);
  const sourcesFile = join(directory, "sources", "sources.sources");
  const options = aptOptions(directory, wish.onTopOfMachine);
  return await withLock(join(context.cache, "locks", `apt-${wish.name}.lock`), context.signal, async () => {
    for (const part of ["sources", "preferences", "lists/partial", "cache/archives/partial"]) {
      await mkdir(join(directory, part), { recursive: true });
    }
    await writeFile(join(directory, "status"), "");
    const codename = await debianCodename();
    // Other vendors' sources stay out: one that is down would stop the set-up.
    const machine = (await machineSources()).filter((source) =>
      source.suites.some((suite) => suite.startsWith(codename)),
    );
    const fixes = wish.security === true ? securityArchive(machine, codename) : undefined;
    const archive = mainArchive(machine, codename);
    if (archive === undefined) {
      throw new RuntimeError("failedPrecondition", "no Debian archive in the apt sources", {
        hint: "add Debian's main archive to /etc/apt/sources.list.d",
      });
    }
    const wanted = wish.suites.length === 0 ? [] : [withSuites(archive, wish.suites)];
    if (fixes !== undefined) wanted.push(withSuites(fixes, [`${wish.suites[0] ?? codename}-security`]));
    const text = renderSources(wish.onTopOfMachine ? [...machine, ...wanted] : wanted);
    const before = await textOf(sourcesFile);
    if (before === text && (await isFresh(join(directory, "updated")))) return { options, directory };
    await writeFile(sourcesFile, text);
    context.say(`package lists: ${wish.name}`);
    await run("apt-get", [...options, "-q", "update", "--error-on=any"], { signal: context.signal });
    await writeFile(join(directory, "updated"), "");
    return { options, directory };
  });
}

function aptOptions(directory: string, seesMachine: boolean): string[] {
  const settings = [
    "Dir::Etc::sourcelist=/dev/null",
    `Dir::Etc::sourceparts=${directory}/sources`,
    `Dir::State::lists=${directory}/lists`,
    `Dir::Cache=${directory}/cache`,
    "Acquire::Languages=none",
    "Acquire::Retries=3",
    // The cache directory may be closed to the user _apt, to whom apt would otherwise drop its rights.
    "APT::Sandbox::User=root",
    "DPkg::Lock::Timeout=600",
    "APT::Get::AllowUnauthenticated=false",
  ];
  if (!seesMachine) {
    settings.push(`Dir::State::status=${directory}/status`, "Dir::Etc::preferences=/dev/null");
    settings.push(`Dir::Etc::preferencesparts=${directory}/preferences`);
  }
  return settings.flatMap((setting) => ["-o", setting]);
}

/** VERSION_CODENAME of /etc/os-release; man 5 os-release. */
export async function debianCodename(): Promise<string> {
  const text = await readFile("/etc/os-release", "utf8");
  const id = /^ID="?([a-z]+)"?$/m.exec(text)?.[1];
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(text)?.[1];
  if (id === "debian" && (codename === "bookworm" || codename === "trixie")) return codename;
  throw new RuntimeError("failedPrecondition", `this machine runs ${id ?? "?"} ${codename ?? "?"}`, {
    hint: "the set-up knows Debian 12 (bookworm) and 13 (trixie)",
  });
}

async function machineSources(): Promise<AptSource[]> {
  const sources = parseOneLine((await textOf("/etc/apt/sources.list")) ?? "");
  const parts = "/etc/apt/sources.list.d";
  for (const name of await readdir(parts)) {
    const text = (await textOf(join(parts, name))) ?? "";
    if (name.endsWith(".list")) sources.push(...parseOneLine(text));
    if (name.endsWith(".sources")) sources.push(...parseDeb822(text));
  }
  return sources;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}

async function isFresh(path: string): Promise<boolean> {
  try {
    return Date.now() - (await stat(path)).mtimeMs < freshMs;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}
