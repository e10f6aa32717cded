import { dirname, join } from "node:path";
import { realpath, stat } from "node:fs/promises";
import { RuntimeError } from "../../../base/errors.js";
import { isThere } from "../../../base/is-there.js";
import { SharedWork } from "../../../base/shared-work.js";
import { stage } from "../../../base/stage.js";
import type { Native, TscReading } from "../../../native/addon.js";
import { givenDescriptors, spawnProgram, type Driver, type StartRequest, type StartedVm } from "../driver.js";
import { enterArguments, jailedProgram, type JailedProgram } from "../jailed-program.js";
import { programFacts } from "../program-facts.js";
import { waitForSocket } from "../wait-for-socket.js";
import { fileServerOptions, machineFacts, qemuArguments, virtiofsdArguments, vmmOptions } from "./qemu-arguments.js";
import { tscKhz } from "./tsc-frequency.js";

/** Absolute paths. */
interface QemuPaths {
  readonly launcher: string;
  readonly qemu: string;
  readonly virtiofsd: string;
  readonly kernel: string;
}

/** What the jails show of the host. */
interface QemuPrograms {
  readonly qemu: JailedProgram;
  readonly virtiofsd: JailedProgram;
  /** No link. */
  readonly kernel: string;
  /** QEMU's own, beside it; undefined: it knows its place. */
  readonly firmware: string | undefined;
}

/** Where QEMU has its firmware, by the distributions' packages. */
const firmware = ["/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu"] as const;

const lookLimitMs = 20_000;
/** virtiofsd needs some milliseconds, QEMU a tenth of a second, on a loaded machine many times that. */
const socketLimitMs = 20_000;

/** Boxes without KVM: QEMU's `microvm` machine under TCG, and a virtiofsd that serves its share, each in a jail. */
export class QemuDriver implements Driver {
  readonly name = "qemu";
  readonly entersUserNamespace = true;
  readonly groups = "leaf";
  readonly idMapping = { by: "server" } as const;
  readonly mountsRecursiveReadOnly = true;
  readonly identity = async (parameters: readonly string[], signal: AbortSignal): Promise<string> =>
    await stage("look at programs", lookLimitMs, signal, () => identityOf(Object.values(this.#paths), parameters));
  readonly snapshots = { identity: this.identity };
  readonly #native: Native;
  readonly #paths: QemuPaths;
  readonly #firstTsc: TscReading;
  /** Looked at by the first Box: the daemon's start does not wait for it. */
  readonly #programs = new SharedWork<"programs", QemuPrograms>({ results: new Map() });

  constructor(native: Native, paths: QemuPaths) {
    this.#native = native;
    this.#paths = paths;
    this.#firstTsc = native.readTsc();
  }

  async start(request: StartRequest, signal: AbortSignal): Promise<StartedVm> {
    const { directory, spec, userNamespace } = request;
    const { launcher } = this.#paths;
    const {
      qemu,
      virtiofsd,
      kernel,
      firmware: own,
    } = await this.#programs.run("programs", signal, (given) =>
      stage("look at programs", lookLimitMs, given, (limited) => lookAt(this.#paths, limited)),
    );
    await stage("start file server", socketLimitMs, signal, async (limited) => {
      const options = fileServerOptions(directory, { hasUserNamespace: userNamespace !== null });
      // The path is for who looks at the list of processes.
      const name = `virtiofsd ${directory.share}`;
      const args = enterArguments({ ...virtiofsd, name, args: virtiofsdArguments(spec), options });
      const given = givenDescriptors(request);
      const fs = {
        file: launcher,
        args,
        log: directory.fsLog,
        netns: null,
        ownPidNamespace: true,
        given,
        env: virtiofsd.env,
      };
      await request.started("fs", await spawnProgram(this.#native, request, fs));
      await waitForSocket(directory.fsSocket, limited);
    });
    return await stage("start vmm", socketLimitMs, signal, async (limited) => {
      const khz = await tscKhz(this.#firstTsc, this.#native, limited);
      const machine = [...(own === undefined ? [] : ["-L", own]), ...qemuArguments(request, kernel, khz)];
      const options = vmmOptions(request, kernel);
      const args = enterArguments({ ...qemu, name: "qemu-system-x86_64", args: machine, options });
      const vmm = {
        file: launcher,
        args,
        log: directory.vmmLog,
        netns: spec.netnsPath,
        ownPidNamespace: true,
        env: qemu.env,
      };
      await request.started("vmm", await spawnProgram(this.#native, request, vmm));
      return { dialable: waitForSocket(directory.agentSocket, signal) };
    });
  }
}

async function identityOf(paths: readonly string[], parameters: readonly string[]): Promise<string> {
  return [...(await programFacts(paths)), ...machineFacts(parameters)].join("\n");
}

async function lookAt(paths: QemuPaths, signal: AbortSignal): Promise<QemuPrograms> {
  const own = join(dirname(await realpath(paths.qemu)), "../share/qemu");
  const [qemu, virtiofsd, kernel] = await Promise.all([
    jailedProgram(paths.qemu, [own, ...firmware], signal),
    jailedProgram(paths.virtiofsd, [], signal),
    readableByAll(paths.kernel),
  ]);
  return { qemu, virtiofsd, kernel, firmware: (await isThere(own)) ? own : undefined };
}

/** The path without links. In its jail QEMU is a user that owns nothing. */
async function readableByAll(path: string): Promise<string> {
  const file = await realpath(path);
  if (((await stat(file)).mode & 0o004) !== 0) return file;
  throw new RuntimeError("failedPrecondition", `${file} can be read by its owner only`, {
    hint: `chmod a+r ${file}`,
  });
}
