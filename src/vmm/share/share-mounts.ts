/**
 * Where the mounts of a Box's share are: among those of its file server, where the host never notices them, or among this
 * process's own, where programs of the host are to see them (docs/adr/0092). They are named by their paths on the host in
 * either case: `<share>/v/name`.
 */
import { realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import { isBelow, parseMountinfo, readMountinfo, type MountLine } from "../../base/mountinfo.js";
import type { BindShown, MountFlags, NamedProcess, Native, OverlayMount } from "../../native/addon.js";

export interface BoundSource {
  readonly source: string;
  readonly recursive: boolean;
  readonly flags: MountFlags;
  readonly shown?: Pick<BindShown, "ids" | "follows">;
}

export interface ShareMounts {
  bind(target: string, bound: BoundSource): Promise<void>;
  overlay(mount: Omit<OverlayMount, "among">): Promise<void>;
  /** Lazily. Success when nothing is mounted there. */
  unmount(target: string): Promise<void>;
  /** All at and below the share's top, a mount after the one that it is on. */
  list(): Promise<MountLine[]>;
  /** `look` gets a path of what is mounted there that is good until it ends. ENOENT where nothing of that name is. */
  lookAt<T>(target: string, look: (path: string) => Promise<T>): Promise<T>;
}

type MountNative = Pick<
  Native,
  "bindMount" | "mountOverlay" | "unmount" | "readMounts" | "openAmongMounts" | "closeFd"
>;

/** This process's. */
export class HostMounts implements ShareMounts {
  readonly #native: MountNative;
  readonly #share: string;

  constructor(native: MountNative, share: string) {
    this.#native = native;
    this.#share = share;
  }

  async bind(target: string, { source, recursive, flags, shown }: BoundSource): Promise<void> {
    await this.#native.bindMount(source, target, recursive, flags, shown);
  }

  async overlay(mount: Omit<OverlayMount, "among">): Promise<void> {
    await this.#native.mountOverlay(mount);
  }

  async unmount(target: string): Promise<void> {
    await this.#native.unmount(target, true);
  }

  async list(): Promise<MountLine[]> {
    return movedTo(this.#share, await readMountinfo(), await realpath(this.#share));
  }

  async lookAt<T>(target: string, look: (path: string) => Promise<T>): Promise<T> {
    return await look(target);
  }
}

/** Where the launcher puts the share: launcher/jail.h. */
const inJail = "/share";

/**
 * The file server's, or those of the machine that serves the share itself: they end with it. Whoever is there finds no way
 * to mount or unmount anything: the namespace belongs to the host.
 */
export class ServerMounts implements ShareMounts {
  readonly #native: MountNative;
  readonly #share: string;
  readonly #server: NamedProcess | undefined;

  /** `server`: undefined before it has been started. */
  constructor(native: MountNative, share: string, server: NamedProcess | undefined) {
    this.#native = native;
    this.#share = share;
    this.#server = server;
  }

  async bind(target: string, { source, recursive, flags, shown }: BoundSource): Promise<void> {
    const more = shown ?? { ids: null, follows: false };
    await this.#among((among) =>
      this.#native.bindMount(source, this.#inside(target), recursive, flags, { ...more, among }),
    );
  }

  async overlay(mount: Omit<OverlayMount, "among">): Promise<void> {
    const target = this.#inside(mount.target);
    await this.#among((among) => this.#native.mountOverlay({ ...mount, target, among }));
  }

  async unmount(target: string): Promise<void> {
    await this.#among((among) => this.#native.unmount(this.#inside(target), true, among));
  }

  async list(): Promise<MountLine[]> {
    const text = await this.#among((among) => this.#native.readMounts(among));
    return movedTo(this.#share, parseMountinfo(text), inJail);
  }

  async lookAt<T>(target: string, look: (path: string) => Promise<T>): Promise<T> {
    const fd = await this.#among((among) => this.#native.openAmongMounts(among, this.#inside(target)));
    try {
      return await look(`/proc/self/fd/${fd}`);
    } finally {
      await this.#native.closeFd(fd);
    }
  }

  #inside(target: string): string {
    return join(inJail, relative(this.#share, target));
  }

  async #among<T>(work: (among: NamedProcess) => Promise<T>): Promise<T> {
    if (this.#server === undefined) throw new RuntimeError("internal", `${this.#share} has no file server yet`);
    try {
      return await work({ pid: this.#server.pid, startTime: this.#server.startTime });
    } catch (cause) {
      if (errnoOf(cause) !== "ESRCH") throw cause;
      throw new RuntimeError("unavailable", "the Box has ended: what serves its share is gone", { cause });
    }
  }
}

/** Those below `from`, as if it were `to`. */
function movedTo(to: string, lines: readonly MountLine[], from: string): MountLine[] {
  return lines
    .filter(({ target }) => isBelow(target, from))
    .map((line) => ({ ...line, target: join(to, relative(from, line.target)) }));
}
