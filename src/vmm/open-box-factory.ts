import { mkdir, readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { closedDirectory } from "../base/closed-directory.js";
import { RuntimeError, messageOf } from "../base/errors.js";
import type { BoxId } from "../base/ids.js";
import { Limiter } from "../base/limiter.js";
import { logOfBox } from "../base/log.js";
import { adoptBox } from "./adopt-box.js";
import { bootBox, type BootDeps } from "./boot-box.js";
import type { Box, BoxFactory, BoxHandle, BoxSpec, DriverName, IdMapping, MachineDriver } from "./box.js";
import {
  boxDirectoryAt,
  boxDirectoryOf,
  boxesDirectory,
  boxesMode,
  longestState,
  readBoxRecord,
} from "./box-directory.js";
import { chooseDriver, requireAssets, type DriverChoice } from "./choose-driver.js";
import { discardBox } from "./discard-box.js";
import type { Driver } from "./drivers/driver.js";
import type { CgroupSettings } from "./cgroup/plan.js";
import { neverAborted } from "../base/signals.js";
import { sideBySide } from "../base/stage.js";
import { machineIdentity } from "./machine-identity.js";
import type { PoolClass } from "./pool/pool-class.js";
import { nothingRehearsed } from "./pool/warm-up.js";
import { WarmPool, type BoxMaker, type PoolParts } from "./pool/warm-pool.js";
import { openDriver, openDrivers, type DriverOptions } from "./open-driver.js";
import { requireSystemd } from "./systemd/require-systemd.js";
import { probeOwners, type OwnersVerdict } from "./share/probe-owners.js";
import type { RunningBox } from "./running-box.js";
import { sweepUnrecorded } from "./sweep-unrecorded.js";
import { openTemplates } from "./templates/open-templates.js";
import type { Templates } from "./templates/templates.js";

export interface BoxFactoryOptions extends DriverOptions {
  readonly driver: "auto" | MachineDriver;
  /** Beside it: those that some Boxes are to be booted by (`BoxSpec.driver`). What they need must be there. */
  readonly moreDrivers?: readonly DriverName[];
  /** From the VMM's start to the agent's hello. Emulation on a busy machine needs a minute. */
  readonly bootTimeoutMs: number;
  /** What runs the sessions that do not choose. */
  readonly containerRuntime: "own" | "crun";
  /** Who makes the Boxes' cgroups. */
  readonly cgroups: CgroupSettings;
  /** A Box whose agent has been silent for so long is ended; 0: never. */
  readonly healthTimeoutMs: number;
  /** Absent: found out. */
  readonly owners?: OwnersVerdict;
  /** Boxes go on from templates where the driver can. Absent is false. */
  readonly templates?: boolean;
  /** Boxes that are up before a pod asks for one. Absent: none are. */
  readonly pool?: PoolOptions;
  /** Absolute path of the directory that has them, of this daemon or of several; absent: below `state`. */
  readonly templatesDirectory?: string;
  /** Ends what is made in the background. Absent: that dies with the process. */
  readonly closing?: AbortSignal;
  /** Hears how each machine came up; `fallback`: it booted, because it could not go on from its template. */
  readonly started?: (by: "boot" | "template" | "fallback") => void;
}

/** `driver` undefined: the factory's. `tap`: as pods with a network have it. */
interface PoolOptions extends Pick<PoolParts, "tap" | "leastFreeMib" | "observer" | "rehearsed"> {
  readonly wanted: readonly (Omit<PoolClass, "driver"> & { readonly driver: MachineDriver | undefined })[];
}

const noPool: PoolOptions = {
  ...{ wanted: [], tap: null, leastFreeMib: 0 },
  observer: { hit: () => undefined, miss: () => undefined },
  rehearsed: nothingRehearsed,
};

/** A guest that boots keeps a processor busy, under emulation for seconds (docs/adr/0070). */
const bootsPerProcessor = 2;
/** A Box that goes on from a template answers in a tenth of a second, on a busy machine in some. */
const goOnLimitMs = 20_000;

export async function openBoxFactory(options: BoxFactoryOptions): Promise<BoxFactory> {
  const { state, assetsDir, native, log, bootTimeoutMs, healthTimeoutMs, containerRuntime, cgroups } = options;
  if (Buffer.byteLength(state) > longestState) {
    throw new RuntimeError("invalidArgument", `state directory "${state}" is longer than ${longestState} bytes`, {
      hint: "socket paths in it would exceed what the kernel takes",
    });
  }
  if (cgroups.manager === "systemd") await requireSystemd();
  await mkdir(state, { recursive: true, mode: 0o711 });
  const { choice, owners, drivers } = await lookAtMachine(options);
  const guestBase = join(assetsDir, "guest");
  await requireAssets([join(guestBase, "usr", "bin", "agent")]);
  await closedDirectory(boxesDirectory(state), boxesMode);
  await sweepUnrecorded(state, native, log);
  log.info({ driver: choice.driver, reason: choice.reason }, "driver chosen");
  if (!owners.mapped) log.warn({ why: owners.why }, "file servers of Boxes are root of the host, in their jails");
  const kernelParameters = [`a3s.runtime=${containerRuntime}`];
  const limits = { bootTimeoutMs, healthTimeoutMs, cgroups };
  const deps = { native, log, state, guestBase, owners, ...limits, kernelParameters };
  const boots = new Limiter<BoxId>({ inAll: availableParallelism() * bootsPerProcessor });
  const closing = options.closing ?? neverAborted;
  const making = { ...deps, inTurn: boots.run.bind(boots), closing };
  const which = options.templates === true ? drivers : new Map<DriverName, Driver>();
  const templates = await openTemplates(making, which, options.templatesDirectory);
  const started = options.started ?? (() => undefined);
  return new Boxes(choice, drivers, { deps, boots, templates, started, pool: options.pool });
}

interface Machine {
  readonly choice: DriverChoice;
  readonly owners: OwnersVerdict;
  readonly drivers: ReadonlyMap<DriverName, Driver>;
}

/** Each look starts a process or two and waits for it: a daemon that starts again has no time for one after the other. */
async function lookAtMachine(options: BoxFactoryOptions): Promise<Machine> {
  const { native, state, layers, assetsDir } = options;
  const probe = async (): Promise<OwnersVerdict> =>
    options.owners ?? (await probeOwners({ native, state, layers, name: "owners-probe" }));
  const [[choice, owners], drivers] = await sideBySide(
    neverAborted,
    async (signal) => await sideBySide(signal, () => chooseDriver(options.driver, assetsDir), probe),
    async () => await openDrivers(options.moreDrivers ?? [], options),
  );
  if (!drivers.has(choice.driver)) drivers.set(choice.driver, await openDriver(choice.driver, options));
  return { choice, owners, drivers };
}

interface BoxesParts {
  readonly deps: Omit<BootDeps, "driver">;
  /** All of a node's pods at once would each get so little of the processors that none had booted within its limit. */
  readonly boots: Limiter<BoxId>;
  /** By the driver that can make them. */
  readonly templates: ReadonlyMap<DriverName, Templates>;
  readonly started: NonNullable<BoxFactoryOptions["started"]>;
  readonly pool: PoolOptions | undefined;
}

class Boxes implements BoxFactory {
  readonly driver: MachineDriver;
  readonly reason: string;
  readonly owners: OwnersVerdict;
  readonly #drivers: ReadonlyMap<DriverName, Driver>;
  readonly #deps: Omit<BootDeps, "driver">;
  readonly #running = new Map<BoxId, RunningBox>();
  readonly #boots: Limiter<BoxId>;
  readonly #templates: ReadonlyMap<DriverName, Templates>;
  readonly #started: BoxesParts["started"];
  readonly pool: WarmPool;
  #booting = 0;

  constructor(choice: DriverChoice, drivers: ReadonlyMap<DriverName, Driver>, parts: BoxesParts) {
    const { deps, boots, templates, started, pool } = parts;
    this.driver = choice.driver;
    this.reason = choice.reason;
    this.owners = deps.owners;
    this.#drivers = drivers;
    this.#deps = deps;
    this.#boots = boots;
    this.#templates = templates;
    this.#started = started;
    const { wanted, ...facts } = pool ?? noPool;
    const ofDriver = wanted.map((one) => ({ ...one, driver: one.driver ?? choice.driver }));
    this.pool = new WarmPool({ ...deps, ...facts, wanted: ofDriver }, this.#maker());
  }

  async boot(spec: BoxSpec, signal: AbortSignal): Promise<Box> {
    this.#booting += 1;
    try {
      const ready = await this.pool.claim(spec, signal);
      if (ready !== undefined) return ready;
      const boot = (): Promise<RunningBox> => this.#bring(spec, signal);
      const isMachine = (spec.driver ?? this.driver) !== "native";
      return this.#keep(isMachine ? await this.#boots.run(spec.id, signal, boot) : await boot());
    } finally {
      this.#booting -= 1;
    }
  }

  /** For the pool: its Boxes take no place of a pod's. */
  #maker(): BoxMaker {
    const isBusy = (): boolean => this.#booting > 0;
    return {
      get isBusy() {
        return isBusy();
      },
      bring: async (spec, signal) => this.#keep(await this.#bring(spec, signal)),
      adopt: async (id, handle) => {
        const box = await adoptBox(this.#depsOf(id), id, handle);
        return box === null ? null : this.#keep(box);
      },
      discard: (id, signal) => this.discard(id, undefined, signal),
      identity: async (driver) => await machineIdentity(this.#driverOf({ driver }), this.#deps),
    };
  }

  async adopt(id: BoxId, handle: BoxHandle, _signal: AbortSignal): Promise<Box | null> {
    const box = await adoptBox(this.#depsOf(id), id, handle);
    return box === null ? null : this.#keep(box);
  }

  async discard(id: BoxId, handle: BoxHandle | undefined, signal: AbortSignal): Promise<void> {
    const box = this.#running.get(id);
    if (box !== undefined) await box.stop(0, signal);
    const directory = handle === undefined ? boxDirectoryOf(this.#deps.state, id) : boxDirectoryAt(handle.directory);
    await discardBox(this.#depsOf(id), id, directory, handle, signal);
    this.#running.delete(id);
  }

  async listDirectories(): Promise<BoxId[]> {
    const parent = boxesDirectory(this.#deps.state);
    const ids: BoxId[] = [];
    for (const name of await readdir(parent)) {
      const id = await this.#idOf(join(parent, name));
      if (id !== undefined) ids.push(id);
    }
    return ids;
  }

  async idle(): Promise<void> {
    await Promise.all([...this.#templates.values()].map((templates) => templates.idle()));
  }

  /**
   * From a template, where there is one of its class; else it boots, and so does one that could not go on. What fails before a
   * VMM has the template is no fault of that.
   */
  async #bring(spec: BoxSpec, signal: AbortSignal): Promise<RunningBox> {
    const templates = this.#templates.get(spec.driver ?? this.driver);
    const from = await templates?.find(spec);
    if (from === undefined) return this.#counted("boot", await this.#bootTwice(spec, signal));
    const bootTimeoutMs = Math.min(this.#deps.bootTimeoutMs, goOnLimitMs);
    const attempt = { isTried: false };
    const snapshot = { from, tried: () => (attempt.isTried = true) };
    const deps = { ...this.#depsOf(spec.id), driver: this.#driverOf(spec), bootTimeoutMs, snapshot };
    try {
      return this.#counted("template", await bootBox(deps, spec, signal));
    } catch (thrown) {
      if (signal.aborted || !attempt.isTried) throw thrown;
      await templates?.drop(from, messageOf(thrown));
      return this.#counted("fallback", await this.#bootTwice(spec, signal));
    }
  }

  #counted(by: Parameters<BoxesParts["started"]>[0], box: RunningBox): RunningBox {
    if (box.handle.driver !== "native") this.#started(by);
    return box;
  }

  /**
   * An emulated guest on an overloaded host has been seen to panic while it boots (once in some hundred boots, 14 others
   * running). Nothing of the pod is in it yet: it is booted once more, and the panic is in the log.
   */
  async #bootTwice(spec: BoxSpec, signal: AbortSignal): Promise<RunningBox> {
    const deps = { ...this.#depsOf(spec.id), driver: this.#driverOf(spec) };
    try {
      return await bootBox(deps, spec, signal);
    } catch (thrown) {
      const why = messageOf(thrown);
      if (signal.aborted || !why.includes("Kernel panic")) throw thrown;
      deps.log.warn({ err: why }, "the guest panicked while it booted; booting once more");
      return await bootBox(deps, spec, signal);
    }
  }

  idMapping(driver: DriverName | undefined): IdMapping {
    const opened = this.#drivers.get(driver ?? this.driver);
    return opened?.idMapping ?? { by: "none", why: "the driver was not opened" };
  }

  mountsRecursiveReadOnly(driver: DriverName | undefined): boolean {
    return this.#drivers.get(driver ?? this.driver)?.mountsRecursiveReadOnly === true;
  }

  #depsOf(id: BoxId): Omit<BootDeps, "driver"> {
    return { ...this.#deps, log: logOfBox(this.#deps.log, id) };
  }

  #driverOf(spec: Pick<BoxSpec, "driver">): Driver {
    const name = spec.driver ?? this.driver;
    const driver = this.#drivers.get(name);
    if (driver === undefined) throw new RuntimeError("internal", `driver "${name}" was not opened`);
    return driver;
  }

  #keep(box: RunningBox): RunningBox {
    this.#running.set(box.id, box);
    return box;
  }

  /** Undefined for a directory that has no readable record: it has died before anything was in it. */
  async #idOf(path: string): Promise<BoxId | undefined> {
    try {
      return (await readBoxRecord(boxDirectoryAt(path)))?.id;
    } catch (err) {
      this.#deps.log.warn({ err, directory: path }, "the record of this Box can't be read");
      return undefined;
    }
  }
}
