import { join } from "node:path";
import { withLock } from "../lock.js";
import { run, type SetupContext, tryRun } from "../run.js";
import { debianCodename, privateApt } from "./private-apt.js";

export interface SystemPackages {
  readonly names: readonly string[];
  /** Names that Debian 12 takes from bookworm-backports: its own release is too old. */
  readonly fromBackports: readonly string[];
}

/** Installs what is missing on this machine, from the machine's own mirror; touches no other package. */
export async function installSystemPackages(context: SetupContext, wish: SystemPackages): Promise<void> {
  if ((await missing(context, [...wish.names, ...wish.fromBackports])).length === 0) return;
  await withLock(join(context.cache, "locks", "system-packages.lock"), context.signal, async () => {
    const names = await missing(context, [...wish.names, ...wish.fromBackports]);
    if (names.length === 0) return;
    context.say(`installing Debian packages: ${names.join(" ")}`);
    const old = (await debianCodename()) === "bookworm";
    const suites = old ? ["bookworm-backports"] : [];
    const apt = await privateApt(context, { name: "system", suites, onTopOfMachine: true });
    const backports = old ? names.filter((name) => wish.fromBackports.includes(name)) : [];
    const plain = names.filter((name) => !backports.includes(name));
    const install = async (target: readonly string[], packages: readonly string[]): Promise<void> => {
      if (packages.length === 0) return;
      const words = ["-q", "-y", "--no-install-recommends", ...target, "install", ...packages];
      await run("apt-get", [...apt.options, ...words], {
        signal: context.signal,
        // Offline: a package that brings a service (docker-registry) must not start it on this machine.
        env: { DEBIAN_FRONTEND: "noninteractive", SYSTEMD_OFFLINE: "1", RUNLEVEL: "1" },
        logFile: join(context.cache, "logs", "system-packages.log"),
      });
    };
    await install([], plain);
    await install(["-t", "bookworm-backports"], backports);
  });
}

/** The names of which no version is installed. */
async function missing(context: SetupContext, names: readonly string[]): Promise<string[]> {
  // dpkg-query fails when it does not know one of the names, and still prints the others.
  const script = "dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n' \"$@\" 2>/dev/null || true";
  const text = await run("sh", ["-c", script, "sh", ...names], { signal: context.signal });
  const installed = new Set(text.split("\n").flatMap((line) => (line.startsWith("ii ") ? [line.slice(3).trim()] : [])));
  return names.filter((name) => !installed.has(name));
}

const oldestRust = [1, 88] as const;

/** True when the `cargo` and `rustc` in PATH can build our crates. */
export async function hasRust(context: SetupContext): Promise<boolean> {
  const cargo = await tryRun("cargo", ["--version"], { signal: context.signal });
  const rustc = await tryRun("rustc", ["--version"], { signal: context.signal });
  const version = /^rustc (\d+)\.(\d+)/.exec(rustc ?? "");
  if (cargo === undefined || version === null) return false;
  const [major, minor] = [Number(version[1]), Number(version[2])];
  return major > oldestRust[0] || (major === oldestRust[0] && minor >= oldestRust[1]);
}
