import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import type { SharedPath } from "../box.js";
import { Share, type Area } from "./share.js";

const shmBytes = 64 * 1024 * 1024;

/**
 * Roots of containers and images for a pod of the host, whose agent sees the host's own tree: what is bound is bound from
 * where it is. Set-uid programs and devices in it work.
 */
export class HostShare extends Share {
  protected readonly flags = { readonly: false, nosuid: false, nodev: false };

  async create(): Promise<void> {
    await this.makeFolders(["c", "v"]);
    await this.setApart();
    await mkdir(this.folder.shm, { mode: 0o755 });
    await this.native.mountTmpfs(this.folder.shm, shmBytes, 0o1777);
  }

  async bind(_name: string, source: string): Promise<SharedPath> {
    return await Promise.reject(new RuntimeError("internal", `${source} needs no place in the share`));
  }

  protected seenAt(area: Area, name: string): string {
    return join(this.folder.share, area, name);
  }
}
