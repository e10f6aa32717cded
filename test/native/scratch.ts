import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadNative, type MountFlags, type NativeError, type SpawnOptions } from "../../src/native/addon.js";
import { nativeAssets } from "../support/native-builds.js";

/** The addon as the set-up built it. These tests need root. */
export const { native } = loadNative(nativeAssets);

export const plain: MountFlags = { readonly: false, nosuid: false, nodev: false };

/** A private tmpfs that goes away with everything in it and mounted on it. */
export class Scratch implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<Scratch> {
    const path = await mkdtemp(join(tmpdir(), "a3s-native-"));
    await native.mountTmpfs(path, 64 << 20, 0o755);
    await native.setPropagation(path, "private", false);
    return new Scratch(path);
  }

  in(name: string): string {
    return join(this.path, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await native.unmount(this.path, true);
    await native.removeTree(this.path);
  }
}

/** A shell command with nothing special about it. */
export function shell(command: string, options: Partial<SpawnOptions> = {}): SpawnOptions {
  return {
    file: "/bin/sh",
    args: ["sh", "-c", command],
    env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    cwd: "/",
    stdio: [null, null, null],
    netns: null,
    newMountNamespace: false,
    newIpcAndUts: false,
    cgroupProcs: [],
    maxOpenFiles: null,
    oomScoreAdj: null,
    ...options,
  };
}

/** Runs to the end; a watch alone does not keep the event loop alive. */
export async function run(options: SpawnOptions): Promise<{ code: number | null; signal: number | null }> {
  const started = await native.spawn(options);
  const alive = setInterval(() => undefined, 1000);
  try {
    return await native.watchExit(started.pidfd).exited;
  } finally {
    clearInterval(alive);
    await native.closeFd(started.pidfd);
  }
}

/** The error of what has to fail. */
export async function failure(attempt: () => unknown): Promise<NativeError> {
  try {
    await attempt();
  } catch (thrown) {
    if (isNativeError(thrown)) return thrown;
    throw thrown;
  }
  throw new Error("it did not fail");
}

function isNativeError(thrown: unknown): thrown is NativeError {
  return thrown instanceof Error && "errno" in thrown && "syscall" in thrown && "code" in thrown;
}
