/** The agents' edge without a protocol: the parts opened as the daemon opens them, in this process, on directories of its own. */
import { setMaxListeners } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, type Logger } from "../../../src/base/log.js";
import { openParts } from "../../../src/cli/open-parts.js";
import type { Config } from "../../../src/config/config.js";
import { configOf, parseFile } from "../../../src/config/load.js";
import type { Deps } from "../../../src/cri/deps.js";
import { loadNative } from "../../../src/native/addon.js";
import { removeSandbox } from "../../../src/runtime/pod/end.js";
import type { Pod } from "../../../src/runtime/pod/pod.js";
import { recover } from "../../../src/runtime/recovery.js";
import { openSandboxes, type OpenOptions, type OpenSandboxes } from "../../../src/sandboxes/core/open.js";
import type { Caller } from "../../../src/sandboxes/core/caller.js";
import type { SandboxWanted } from "../../../src/sandboxes/core/sandbox.js";
import type { Sandboxes } from "../../../src/sandboxes/core/sandboxes.js";
import { driver } from "../daemon.js";
import { busybox, writeArchive, type NamedImage } from "../images.js";
import { projectDirectory } from "../project.js";

export interface LogLine {
  readonly msg: string;
  readonly [member: string]: unknown;
}

export interface TestCore {
  readonly base: string;
  readonly config: Config;
  readonly engine: Deps;
  readonly sandboxes: Sandboxes;
  readonly log: readonly LogLine[];
  /** As when the daemon's process ends: Boxes live on, and so do directories. */
  close(): Promise<void>;
  /** All pods, then the directories. */
  remove(): Promise<void>;
}

export async function makeBase(): Promise<string> {
  const base = await mkdtemp(join(tmpdir(), "a3s-t"));
  await chmod(base, 0o711); // root of a user namespace is another user
  return base;
}

export function testConfig(base: string, toml: string): Config {
  const text = `root = "${base}/root"\nstate = "${base}/state"\ndriver = "${driver}"\nnetwork = "loopback"\n${toml}`;
  return configOf(parseFile(text, "the test"));
}

/** `images`: of a base that has none yet. */
export async function openCore(
  base: string,
  toml = "",
  images: readonly NamedImage[] = [],
  options: Partial<OpenOptions> = {},
): Promise<TestCore> {
  const config = testConfig(base, toml);
  const lines: LogLine[] = [];
  const log = logInto(lines);
  const closing = new AbortController();
  setMaxListeners(0, closing.signal);
  const { native } = loadNative(join(projectDirectory, "build/assets"));
  const engine = await openParts(config, log, native, closing.signal);
  if (images.length > 0) {
    const archive = join(base, "images.tar");
    await writeArchive(archive, images);
    await engine.images.importArchive(archive, closing.signal);
    await rm(archive);
  }
  const recovered = recover(engine);
  const open: OpenSandboxes = await openSandboxes(engine, options);
  const close = async (): Promise<void> => {
    closing.abort();
    await open.close();
    await Promise.all([open.idle(), recovered]);
    await Promise.all([engine.containers.close(), engine.images.close(), engine.streaming.close()]);
    for (const pod of engine.sandboxes.all()) pod.box?.agent.close("the test is over");
  };
  const remove = async (): Promise<void> => {
    await recovered;
    for (const pod of engine.sandboxes.list()) await removePod(pod, engine);
    await close();
    await rm(base, { recursive: true, force: true });
  };
  return { base, config, engine, sandboxes: open.sandboxes, log: lines, close, remove };
}

async function removePod(pod: Pod, engine: Deps): Promise<void> {
  const limit = AbortSignal.timeout(60_000);
  await engine.sandboxes.locks.run(pod.id, limit, async () => {
    if (engine.sandboxes.has(pod.id)) await removeSandbox(pod, engine, limit);
  });
}

function logInto(lines: LogLine[]): Logger {
  return createLogger("debug", {
    write: (text: string) => {
      const line: unknown = JSON.parse(text);
      if (isLogLine(line)) lines.push(line);
    },
  });
}

function isLogLine(value: unknown): value is LogLine {
  return typeof value === "object" && value !== null && "msg" in value && typeof value.msg === "string";
}

export async function freshCore(toml = "", options: Partial<OpenOptions> = {}): Promise<TestCore> {
  return await openCore(await makeBase(), toml, [await busybox()], options);
}

export const someCaller: Caller = { tenant: "team-a", name: "uid 0" };

/** Small, of the image that every test has. */
export function wantedSandbox(more: Partial<SandboxWanted> = {}): SandboxWanted {
  return {
    template: "localhost/test/busybox:1",
    ...{ vcpus: 1, memoryMib: 256, env: {}, mounts: [], metadata: {} },
    ...more,
  };
}
