import { stage } from "../../../base/stage.js";
import type { Native, TscReading } from "../../../native/addon.js";
import { spawnProgram, type Driver, type StartRequest, type StartedVm } from "../driver.js";
import { waitForSocket } from "../wait-for-socket.js";
import { qemuArguments, virtiofsdArguments } from "./qemu-arguments.js";
import { tscKhz } from "./tsc-frequency.js";

export interface QemuPrograms {
  /** Absolute paths. */
  readonly qemu: string;
  readonly virtiofsd: string;
  readonly kernel: string;
}

/** virtiofsd needs some milliseconds, QEMU a tenth of a second, on a loaded machine many times that. */
const socketLimitMs = 20_000;

/** Boxes without KVM: QEMU's `microvm` machine under TCG, and a virtiofsd that serves its share. */
export class QemuDriver implements Driver {
  readonly name = "qemu";
  readonly #native: Native;
  readonly #programs: QemuPrograms;
  readonly #firstTsc: TscReading;

  constructor(native: Native, programs: QemuPrograms) {
    this.#native = native;
    this.#programs = programs;
    this.#firstTsc = native.readTsc();
  }

  async start(request: StartRequest, signal: AbortSignal): Promise<StartedVm> {
    const { folder, spec } = request;
    const { qemu, virtiofsd, kernel } = this.#programs;
    const fs = {
      file: virtiofsd,
      args: virtiofsdArguments(folder),
      log: folder.fsLog,
      netns: null,
      ownPidNamespace: false,
    };
    await stage("start file server", socketLimitMs, signal, async (limited) => {
      await request.started("fs", await spawnProgram(this.#native, request, fs));
      await waitForSocket(folder.fsSocket, limited);
    });
    return await stage("start vmm", socketLimitMs, signal, async (limited) => {
      const args = qemuArguments(request, kernel, await tscKhz(this.#firstTsc, this.#native, limited));
      const vmm = { file: qemu, args, log: folder.vmmLog, netns: spec.netnsPath, ownPidNamespace: false };
      await request.started("vmm", await spawnProgram(this.#native, request, vmm));
      return { dialable: waitForSocket(folder.agentSocket, signal) };
    });
  }
}
