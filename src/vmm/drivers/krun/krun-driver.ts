import { chown, writeFile } from "node:fs/promises";
import { stage } from "../../../base/stage.js";
import type { Native } from "../../../native/addon.js";
import { givenDescriptors, spawnProgram, type Driver, type StartRequest, type StartedVm } from "../driver.js";
import { launcherConfig, type KrunPrograms } from "./launcher-config.js";
import { programFacts } from "../program-facts.js";
import { listenForReady } from "./ready-line.js";

const startLimitMs = 20_000;

/** Two sockets and their directory are all that is to be there; a guest that has taken the VMM over can fill it. */
const socketsBytes = 64 * 1024;
const socketsInodes = 16;

/** Boxes with KVM: the launcher becomes the VM with libkrun, which serves the share itself. */
export class KrunDriver implements Driver {
  readonly name = "krun";
  readonly entersUserNamespace = true;
  readonly groups = "leaf";
  readonly idMapping = { by: "none", why: "libkrun serves the share itself, with owners as they are" } as const;
  readonly mountsRecursiveReadOnly = true;
  readonly identity = async (parameters: readonly string[], signal: AbortSignal): Promise<string> =>
    await stage("look at programs", startLimitMs, signal, async () =>
      [...(await programFacts(Object.values(this.#programs))), ...parameters].join("\n"),
    );
  readonly #native: Native;
  readonly #programs: KrunPrograms;

  constructor(native: Native, programs: KrunPrograms) {
    this.#native = native;
    this.#programs = programs;
  }

  async start(request: StartRequest, signal: AbortSignal): Promise<StartedVm> {
    const { directory, spec, userNamespace } = request;
    return await stage("start vmm", startLimitMs, signal, async () => {
      await writeFile(directory.launcherConfig, launcherConfig(request, this.#programs), { mode: 0o600 });
      const owner = userNamespace?.root ?? 0;
      const more = { maxInodes: socketsInodes, owner, noexec: true, nosymfollow: true };
      await this.#native.mountTmpfs(directory.sockets, socketsBytes, 0o700, more);
      const { ready } = await listenForReady(directory.readySocket, signal);
      await chown(directory.readySocket, owner, owner);
      const args = ["a3s-box-launcher", "run", directory.launcherConfig];
      const vmm = {
        file: this.#programs.launcher,
        args,
        log: directory.vmmLog,
        netns: spec.netnsPath,
        ownPidNamespace: true,
        given: givenDescriptors(request),
      };
      await request.started("vmm", await spawnProgram(this.#native, request, vmm));
      return { dialable: ready };
    });
  }
}
