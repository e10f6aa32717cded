import { open } from "node:fs/promises";
import { RuntimeError, messageOf } from "../../../base/errors.js";
import { stage } from "../../../base/stage.js";
import type { Native, SpawnedProcess } from "../../../native/addon.js";
import { vmmMaxOpenFiles, type Driver, type StartRequest, type StartedVm } from "../driver.js";
import { waitForFile } from "../wait-for-file.js";
import { qemuArguments, virtiofsdArguments } from "./qemu-arguments.js";

export interface QemuPrograms {
  /** Absolute paths. */
  readonly qemu: string;
  readonly virtiofsd: string;
  readonly kernel: string;
}

/** virtiofsd needs some milliseconds, QEMU a tenth of a second, on a loaded machine many times that. */
const socketLimitMs = 20_000;

interface ProgramStart {
  readonly file: string;
  readonly args: readonly string[];
  readonly log: string;
  readonly netns: string | null;
}

/** Boxes without KVM: QEMU's `microvm` machine under TCG, and a virtiofsd that serves its share. */
export class QemuDriver implements Driver {
  readonly name = "qemu";
  readonly #native: Native;
  readonly #programs: QemuPrograms;

  constructor(native: Native, programs: QemuPrograms) {
    this.#native = native;
    this.#programs = programs;
  }

  async start(request: StartRequest, signal: AbortSignal): Promise<StartedVm> {
    const { folder, spec } = request;
    const { qemu, virtiofsd, kernel } = this.#programs;
    const fs = { file: virtiofsd, args: virtiofsdArguments(folder), log: folder.fsLog, netns: null };
    await stage("start file server", socketLimitMs, signal, async (limited) => {
      await request.started("fs", await this.#spawn(fs, request));
      await waitForFile(folder.fsSocket, limited);
    });
    const args = qemuArguments(spec, folder, kernel);
    const vmm = { file: qemu, args, log: folder.vmmLog, netns: spec.netnsPath };
    return await stage("start vmm", socketLimitMs, signal, async () => {
      await request.started("vmm", await this.#spawn(vmm, request));
      return { dialable: waitForFile(folder.agentSocket, signal) };
    });
  }

  async #spawn(program: ProgramStart, request: StartRequest): Promise<SpawnedProcess> {
    await using log = await open(program.log, "a", 0o600);
    try {
      return await this.#native.spawn({
        file: program.file,
        args: program.args,
        env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        cwd: "/",
        stdio: [null, log.fd, log.fd],
        netns: program.netns,
        newMountNamespace: false,
        newIpcAndUts: true,
        cgroupProcs: request.cgroupProcs,
        maxOpenFiles: vmmMaxOpenFiles,
        oomScoreAdj: null,
      });
    } catch (cause) {
      throw new RuntimeError("internal", `${program.file} did not start: ${messageOf(cause)}`, { cause });
    }
  }
}
