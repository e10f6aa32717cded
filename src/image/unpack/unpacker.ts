/**
 * Runs `a3s-box-unpacker`: a process per layer, jailed in the directory that it fills (ADR 0018). It reads the blob from a
 * descriptor, also while the blob is still being written, and leaves a tree and a `result` in the directory.
 */
import { constants } from "node:os";
import { open, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isNotFound, RuntimeError, type ErrorCode } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { ExitInfo, Native } from "../../native/addon.js";
import type { Compression } from "../content/media-types.js";
import { UnpackersGroup } from "./unpackers-group.js";
import { UnpackersUsers, usersRoot } from "./users.js";

export interface UnpackerSettings {
  readonly native: Native;
  /** Absolute path of the program. */
  readonly program: string;
  /** The ingest directory's lock, of a file, which lasts as long as any unpacker does. */
  readonly lockFd: number;
  readonly log: Logger;
}

/** Unpack a layer's blob into `directory`/fs; `directory` is there and empty. */
export interface UnpackRequest {
  readonly directory: string;
  /** File that has the blob, or will have all of it once it has come. */
  readonly blob: string;
  readonly sizeBytes: number;
  readonly compression: Compression;
  /** Digest that the uncompressed layer must have. */
  readonly diffId: string;
}

const maxResultBytes = 16 * 1024 * 1024;
/** Files that it leaves beside the tree. */
const notes = { result: "result", implied: "implied", log: "log" } as const;

/** What `pack` leaves. */
const packedFile = "layer.erofs";

/** Its exit statuses, unpacker/exit_codes.h. */
const exitCodes = { done: 0, failed: 1, noSpace: 2, noMemory: 3, unmapped: 4 } as const;

/** What `result` may call a failure, unpacker/failure.h. */
const failureCodes: readonly ErrorCode[] = ["internal", "unimplemented", "resourceExhausted", "unavailable"];

/** Descriptors, in the order in which the program has them. */
interface Given {
  readonly blob?: number;
  readonly users?: number;
}

/** The store's file system can't show owners as a user namespace has them, or the namespace can't be entered. */
class Unmapped extends Error {}

export class Unpacker {
  readonly #settings: UnpackerSettings;
  readonly #group: UnpackersGroup;
  readonly #users: UnpackersUsers;
  readonly #running = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();

  constructor(settings: UnpackerSettings) {
    this.#settings = settings;
    this.#group = new UnpackersGroup(settings.log);
    this.#users = new UnpackersUsers(settings.native, settings.log);
  }

  /**
   * Has its turn (turns.ts). Resolves to the directories that hide what lower layers have in them ("" is the root). Rejects with what is wrong with
   * the layer; with `canceled` when aborted, once the process has gone. What it made of the tree is the caller's to
   * remove then.
   */
  async unpack(request: UnpackRequest, signal: AbortSignal): Promise<readonly string[]> {
    const { directory, compression, sizeBytes, diffId } = request;
    const args = ["unpack", directory, compression, String(sizeBytes), diffId];
    await using blob = await open(request.blob, "r");
    const users = await this.#users.open();
    if (users === undefined) return await this.#run(directory, args, { blob: blob.fd }, signal);
    try {
      return await this.#run(directory, [...args, String(usersRoot)], { blob: blob.fd, users }, signal);
    } catch (thrown) {
      if (!(thrown instanceof Unmapped)) throw thrown;
      this.#users.lack(thrown.message); // nothing of the layer was read
      return await this.#run(directory, args, { blob: blob.fd }, signal);
    } finally {
      await this.#settings.native.closeFd(users);
    }
  }

  /**
   * Gives the directories that the unpacked layer implies the attributes that they have in the layers below, whose roots
   * are given, uppermost first; and takes away what `unpack` noted for this.
   */
  async settle(directory: string, lowers: readonly string[], signal: AbortSignal): Promise<void> {
    const implied = join(directory, notes.implied);
    if (lowers.length > 0 && (await stat(implied)).size > 0) {
      await this.#run(directory, ["settle", directory, ...lowers], {}, signal);
    }
    await rm(implied);
  }

  /** Writes an unpacked layer, `tree`, as an EROFS image into the directory, which is there and empty; resolves to its path. */
  async pack(directory: string, tree: string, uuid: string, signal: AbortSignal): Promise<string> {
    await this.#run(directory, ["pack", directory, tree, uuid], {}, signal);
    return join(directory, packedFile);
  }

  /** Ends what runs. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#running);
  }

  async #run(directory: string, args: readonly string[], given: Given, signal: AbortSignal): Promise<string[]> {
    const running = this.#exited(directory, args, given, signal);
    this.#running.add(running);
    try {
      return await readResult(directory, await running);
    } finally {
      this.#running.delete(running);
      for (const name of [notes.result, notes.log]) await rm(join(directory, name), { force: true });
    }
  }

  async #exited(directory: string, args: readonly string[], given: Given, signal: AbortSignal): Promise<ExitInfo> {
    const { native, program, lockFd } = this.#settings;
    await using log = await open(join(directory, notes.log), "wx", 0o600);
    const cgroupProcs = await this.#group.procs();
    if (this.#closing.signal.aborted) throw new RuntimeError("unavailable", "the image store is closed");
    const { pidfd } = await native.spawn({
      file: program,
      args: ["a3s-box-unpacker", ...args],
      env: [],
      cwd: "/",
      stdio: [given.blob ?? null, null, log.fd, lockFd, ...(given.users === undefined ? [] : [given.users])],
      netns: null,
      newMountNamespace: false,
      newIpcAndUts: false,
      dieWithParent: true,
      cgroupProcs,
      maxOpenFiles: null,
      oomScoreAdj: killFirst,
    });
    const watch = native.watchExit(pidfd);
    const kill = (): void => void native.signalProcess(pidfd, constants.signals.SIGKILL).catch(() => undefined);
    const alive = setInterval(() => undefined, 60_000); // a watch alone keeps no event loop running
    const ends = [signal, this.#closing.signal];
    for (const end of ends) end.addEventListener("abort", kill, { once: true });
    try {
      if (ends.some((end) => end.aborted)) kill();
      const exit = await watch.exited;
      if (ends.some((end) => end.aborted)) throw new RuntimeError("canceled", "given up");
      return exit;
    } finally {
      for (const end of ends) end.removeEventListener("abort", kill);
      clearInterval(alive);
      watch.close();
      await native.closeFd(pidfd);
    }
  }
}

/** Of two that want memory, the kernel ends the one that can be begun again. */
const killFirst = 500;

export function unpackerPath(assetsDir: string): string {
  return join(assetsDir, "bin", "a3s-box-unpacker");
}

/** Fields that end with a NUL: directories, or the code and the message of a failure. */
async function readResult(directory: string, exit: ExitInfo): Promise<string[]> {
  switch (exit.code) {
    case exitCodes.noSpace:
      throw new RuntimeError("resourceExhausted", "no space left for the image", {
        hint: "free space on the file system of the image store, or remove images",
      });
    case exitCodes.noMemory:
      throw new RuntimeError("internal", "the layer wants more memory to unpack than a layer may have");
    case exitCodes.unmapped:
      throw new Unmapped(await lastLine(directory));
    case exitCodes.done:
      return await readFields(join(directory, notes.result));
    case exitCodes.failed: {
      const [said = "", message = "it failed without a word"] = await readFields(join(directory, notes.result));
      throw new RuntimeError(failureCodes.find((code) => code === said) ?? "internal", message);
    }
    default:
      throw await crashed(directory, exit);
  }
}

async function readFields(path: string): Promise<string[]> {
  const { size } = await stat(path);
  if (size > maxResultBytes) throw new RuntimeError("internal", `the unpacker's result has ${size} bytes`);
  return (await readFile(path, "utf8")).split("\0").slice(0, -1);
}

/** A limit that it ran into, or a defect of ours. */
async function crashed(directory: string, exit: ExitInfo): Promise<RuntimeError> {
  const line = await lastLine(directory);
  const how = exit.signal === null ? `exited with ${String(exit.code)}` : `was ended by signal ${exit.signal}`;
  return new RuntimeError("internal", `the unpacker ${how}${line === "" ? "" : `: ${line}`}`);
}

async function lastLine(directory: string): Promise<string> {
  const log = await readFile(join(directory, notes.log), "utf8").catch((thrown: unknown) => {
    if (isNotFound(thrown)) return "";
    throw thrown;
  });
  return (log.trim().split("\n").at(-1) ?? "").slice(0, 500);
}
