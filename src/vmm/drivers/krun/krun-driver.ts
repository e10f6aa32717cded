import { writeFile } from "node:fs/promises";
import { stage } from "../../../base/stage.js";
import type { Native } from "../../../native/addon.js";
import { spawnProgram, type Driver, type StartRequest, type StartedVm } from "../driver.js";
import { launcherConfig, type KrunPrograms } from "./launcher-config.js";
import { listenForReady } from "./ready-line.js";

const startLimitMs = 20_000;

/** Boxes with KVM: the launcher becomes the VM with libkrun, which serves the share itself. */
export class KrunDriver implements Driver {
  readonly name = "krun";
  readonly entersUserNamespace = false;
  readonly groups = "leaf";
  readonly idMapping = { by: "none", why: "libkrun serves the share itself, with owners as they are" } as const;
  readonly mountsRecursiveReadOnly = true;
  readonly #native: Native;
  readonly #programs: KrunPrograms;

  constructor(native: Native, programs: KrunPrograms) {
    this.#native = native;
    this.#programs = programs;
  }

  async start(request: StartRequest, signal: AbortSignal): Promise<StartedVm> {
    const { folder, spec } = request;
    return await stage("start vmm", startLimitMs, signal, async () => {
      await writeFile(folder.launcherConfig, launcherConfig(request, this.#programs), { mode: 0o600 });
      const { ready } = await listenForReady(folder.readySocket, signal);
      const args = ["a3s-box-launcher", "run", folder.launcherConfig];
      const vmm = {
        file: this.#programs.launcher,
        args,
        log: folder.vmmLog,
        netns: spec.netnsPath,
        ownPidNamespace: true,
      };
      await request.started("vmm", await spawnProgram(this.#native, request, vmm));
      return { dialable: ready };
    });
  }
}
