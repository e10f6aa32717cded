/** What a bug report needs: a file each. */
import { execFile } from "node:child_process";
import { readFile, statfs } from "node:fs/promises";
import { arch, cpus, loadavg, release, totalmem, uptime } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { namesIn } from "../../base/names-in.js";
import { packageVersion } from "../../base/version.js";
import type { Config } from "../../config/config.js";
import { shownConfig } from "../../config/shown-config.js";
import { boxesDirectory, boxDirectoryAt, readBoxRecord } from "../../vmm/box-directory.js";
import { tailOf } from "../../vmm/console.js";
import { readMountinfo } from "../../base/mountinfo.js";
import { lastingTroubles } from "../check-running.js";
import { machineTable } from "../machine-table.js";
import { type Known, readKnown } from "../running/known.js";
import { boxProcesses } from "../running/processes.js";
import { shownContainer, shownSandbox } from "./redact.js";

/** One file of the bundle. */
export interface Source {
  /** Path in the bundle. */
  readonly name: string;
  readonly read: () => Promise<string>;
}

const logTailBytes = 1 << 18;
const journalLines = "5000";
const commandLimitMs = 20_000;
const maxOutputBytes = 1 << 24;
const askLimitMs = 5_000;
const unit = "a3s-box.service";
const groupFiles = ["memory.current", "memory.max", "memory.events", "cpu.stat", "pids.current", "cgroup.procs"];
const processFiles = ["status", "limits", "cgroup", "mountinfo"];

export async function sourcesOf(config: Config): Promise<Source[]> {
  const known = await readKnown(config);
  return [
    { name: "version.json", read: () => Promise.resolve(json(versions())) },
    { name: "config.json", read: () => Promise.resolve(json(shownConfig(config))) },
    { name: "check.txt", read: async () => (await machineTable(config)).text },
    { name: "running.json", read: async () => json(await lastingTroubles(config)) },
    { name: "cni.json", read: async () => json(await namesIn(config.cni.confDir)) },
    { name: "images.json", read: async () => await readFile(join(config.root, "images", "index.json"), "utf8") },
    { name: "daemon.log", read: async () => await run("journalctl", ["--no-pager", "-u", unit, "-n", journalLines]) },
    { name: "host/disk.json", read: async () => json(await disks(config)) },
    { name: "host/mounts.json", read: async () => json(await ownMounts(config)) },
    ...["meminfo", "loadavg", "pressure/cpu", "pressure/memory", "pressure/io"].map((name) => ({
      name: `host/${name.replace("/", "-")}`,
      read: async () => await readFile(join("/proc", name), "utf8"),
    })),
    ...recordSources(known),
    ...(await boxSources(config, known)),
    ...(await processSources(config)),
    ...askSources(config),
  ];
}

function versions(): unknown {
  const { version: node } = process;
  const machine = { kernel: release(), arch: arch(), cpus: cpus().length, memoryBytes: totalmem() };
  return { version: packageVersion(), node, ...machine, uptimeSeconds: uptime(), load: loadavg() };
}

async function disks({ root, state }: Config): Promise<unknown> {
  const found: Record<string, unknown> = {};
  for (const path of [root, state]) {
    const { bsize, blocks, bavail, files, ffree } = await statfs(path);
    found[path] = { bytes: blocks * bsize, freeBytes: bavail * bsize, inodes: files, freeInodes: ffree };
  }
  return found;
}

async function ownMounts({ root, state }: Config): Promise<unknown> {
  return (await readMountinfo()).filter(({ target }) => [root, state].some((at) => target.startsWith(`${at}/`)));
}

function recordSources({ sandboxes, containers, unreadable }: Known): Source[] {
  return [
    { name: "records/unreadable.json", read: () => Promise.resolve(json(unreadable)) },
    ...sandboxes.map((record) => ({
      name: `records/sandboxes/${record.id}.json`,
      read: () => Promise.resolve(json(shownSandbox(record))),
    })),
    ...containers.map((record) => ({
      name: `records/containers/${record.id}.json`,
      read: () => Promise.resolve(json(shownContainer(record))),
    })),
  ];
}

async function boxSources({ state }: Config, { sandboxes }: Known): Promise<Source[]> {
  const groups = sandboxes.flatMap(({ box }) => box?.cgroups ?? []);
  const sources: Source[] = [{ name: "pool.json", read: async () => json(await readyBoxes(state)) }];
  for (const name of await namesIn(boxesDirectory(state))) {
    const directory = boxDirectoryAt(join(boxesDirectory(state), name));
    sources.push({ name: `boxes/${name}/box.json`, read: async () => await readFile(directory.record, "utf8") });
    for (const [log, path] of Object.entries({
      console: directory.console,
      vmm: directory.vmmLog,
      fs: directory.fsLog,
    })) {
      sources.push({ name: `boxes/${name}/${log}`, read: async () => await tailOf(path, logTailBytes) });
    }
    const own = groups.filter((path) => path.includes(`/${name}`));
    sources.push({ name: `boxes/${name}/cgroups.txt`, read: async () => await groupFacts(own) });
  }
  return sources;
}

/** Those that no pod has yet, with the groups that they are in. */
async function readyBoxes(state: string): Promise<unknown> {
  const ready: unknown[] = [];
  for (const name of await namesIn(boxesDirectory(state))) {
    const record = await readBoxRecord(boxDirectoryAt(join(boxesDirectory(state), name))).catch(() => undefined);
    if (record?.pool !== undefined) ready.push({ ...record, groups: await groupFacts(record.cgroups) });
  }
  return ready;
}

async function groupFacts(directories: readonly string[]): Promise<string> {
  const parts: string[] = [];
  for (const path of directories.flatMap((directory) => groupFiles.map((file) => join(directory, file)))) {
    const text = await readFile(path, "utf8").catch(() => undefined); // not every layout has every file
    if (text !== undefined) parts.push(`# ${path}\n${text}`);
  }
  return parts.join("\n");
}

async function processSources(config: Config): Promise<Source[]> {
  const daemon = Number((await readFile(join(config.state, "lock"), "utf8").catch(() => "")).trim());
  const boxes = await boxProcesses(config.state, await readMountinfo());
  const all = [...boxes.map(({ pid, program }) => ({ pid, program }))];
  if (Number.isInteger(daemon) && daemon > 0) all.push({ pid: daemon, program: "daemon" });
  return all.flatMap(({ pid, program }) => [
    ...processFiles.map((file) => ({
      name: `processes/${pid}-${program}/${file}`,
      read: async () => await readFile(`/proc/${pid}/${file}`, "utf8"),
    })),
    {
      name: `processes/${pid}-${program}/descriptors`,
      read: async () => `${(await namesIn(`/proc/${pid}/fd`)).length}\n`,
    },
  ]);
}

function askSources({ metrics }: Config): Source[] {
  if (metrics === undefined) return [];
  const host = metrics.host.includes(":") ? `[${metrics.host}]` : metrics.host;
  return ["metrics", "healthz"].map((path) => ({
    name: `${path}.txt`,
    read: async () => {
      const answer = await fetch(`http://${host}:${metrics.port}/${path}`, { signal: AbortSignal.timeout(askLimitMs) });
      return await answer.text();
    },
  }));
}

async function run(program: string, args: readonly string[]): Promise<string> {
  const options = { timeout: commandLimitMs, maxBuffer: maxOutputBytes };
  return (await promisify(execFile)(program, args, options)).stdout;
}

function json(value: unknown): string {
  const text = JSON.stringify(value, (_, one: unknown) => (typeof one === "bigint" ? one.toString() : one), 2);
  return `${text}\n`;
}
