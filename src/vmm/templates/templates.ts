/**
 * Boxes that have booted once for many: the state of one of our own, written when it had nothing of any pod in it, from which
 * others go on (docs/adr/0132). Made in the background for each class of Box that is asked for. Nothing that fails here fails a
 * Box: it boots.
 */
import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError, messageOf } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import { newBoxId } from "../../base/ids.js";
import { anyOf } from "../../base/signals.js";
import { sleep } from "../../base/stage.js";
import type { BoxSpec } from "../box.js";
import type { BootDeps } from "../boot-box.js";
import type { Driver } from "../drivers/driver.js";
import { BackOffs } from "./back-offs.js";
import { makeTemplate, type MakeDeps } from "./make-template.js";
import { classOf, keyOf, type TemplateClass } from "./template-class.js";
import { TemplateFiles } from "./template-files.js";

/** Before one is begun, so that the pod that has asked for it has its first container by then. */
const delayMs = 2500;
const makeLimitMs = 180_000;
/** A Box that would wait longer for this boots. */
const lookLimitMs = 5000;

export type TemplateDeps = Omit<MakeDeps, "driver"> & {
  /** Ends the one under way, and with it what it is made of. */
  readonly closing: AbortSignal;
};

export class Templates {
  readonly #deps: TemplateDeps;
  readonly #driver: Driver;
  readonly #files: TemplateFiles;
  readonly #backOffs = new BackOffs();
  #making: Promise<void> | undefined;

  private constructor(deps: TemplateDeps, driver: Driver, files: TemplateFiles) {
    this.#deps = deps;
    this.#driver = driver;
    this.#files = files;
  }

  /** What an earlier daemon has made, and still fits, is used. `directory`: of the files. */
  static async open(deps: TemplateDeps, driver: Driver, directory: string): Promise<Templates> {
    return new Templates(deps, driver, await TemplateFiles.open(directory));
  }

  /** The file to go on from; undefined: there is none, and one is made when it is worth it. */
  async find(spec: BoxSpec): Promise<string | undefined> {
    const of = classOf(spec);
    if (of === undefined) return undefined;
    try {
      const key = keyOf(of, await identityOf(this.#deps, this.#driver, AbortSignal.timeout(lookLimitMs)));
      const path = await this.#files.use(key);
      if (path === undefined) this.#want(of, key);
      return path;
    } catch (thrown) {
      this.#deps.log.warn({ err: messageOf(thrown) }, "templates can't be looked at; the Box boots");
      return undefined;
    }
  }

  /** A Box could not go on from it. */
  async drop(path: string, why: string): Promise<void> {
    const { log } = this.#deps;
    log.warn({ template: path, err: why }, "no Box could go on from this template; the Box boots");
    this.#backOffs.failed(this.#files.keyOf(path));
    await rm(path, { force: true }).catch((thrown: unknown) => {
      log.warn({ template: path, err: messageOf(thrown) }, "a template can't be removed");
    });
  }

  /** Resolves when none is being made. */
  async idle(): Promise<void> {
    await this.#making;
  }

  /** One at a time; the others are asked for again by the next Box of their class. */
  #want(of: TemplateClass, key: string): void {
    if (this.#making !== undefined || this.#deps.closing.aborted) return;
    if (!this.#backOffs.mayTry(key)) return;
    this.#making = onItsOwn(() => this.#make(of, key)).finally(() => {
      this.#making = undefined;
    });
  }

  async #make(of: TemplateClass, key: string): Promise<void> {
    const { log, closing } = this.#deps;
    const signal = anyOf(closing, AbortSignal.timeout(makeLimitMs));
    try {
      await sleep(delayMs, signal);
      if ((await this.#files.use(key)) !== undefined || !(await this.#files.haveRoom())) return;
      const begun = performance.now();
      const id = newBoxId();
      const whole = async (): Promise<void> => {
        await this.#mustStillBe(of, key, signal);
        await this.#files.publish(id, key);
      };
      await makeTemplate(
        { ...this.#deps, driver: this.#driver },
        of,
        { id, file: this.#files.partOf(id), whole },
        signal,
      );
      log.info({ ...of, template: key, ms: Math.round(performance.now() - begun) }, "template made");
    } catch (thrown) {
      if (closing.aborted) return;
      this.#backOffs.failed(key);
      log.warn({ ...of, err: messageOf(thrown) }, "no template could be made; Boxes of this size boot");
    }
  }

  /** Somebody may have put other programs in place while it booted. */
  async #mustStillBe(of: TemplateClass, key: string, signal: AbortSignal): Promise<void> {
    if (keyOf(of, await identityOf(this.#deps, this.#driver, signal)) === key) return;
    throw new RuntimeError("unavailable", "programs were replaced while it was made");
  }
}

/** What everything in a machine depends on, beside its class. Looked at for each Box: programs are replaced under a daemon. */
export async function identityOf(
  { guestBase, kernelParameters }: Pick<BootDeps, "guestBase" | "kernelParameters">,
  driver: Pick<Driver, "snapshots">,
  signal: AbortSignal,
): Promise<string> {
  const agent = await stat(join(guestBase, "usr/bin/agent"), { bigint: true });
  // A machine's counters go on from where they were: none goes on after the host has started anew.
  const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const programs = await driver.snapshots?.identity(kernelParameters, signal);
  return [boot, guestBase, agent.ino, agent.size, agent.mtimeNs, programs ?? ""].join("\n");
}
