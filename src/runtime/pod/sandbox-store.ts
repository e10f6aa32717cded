import { join } from "node:path";
import { closedDirectory } from "../../base/closed-directory.js";
import { RuntimeError } from "../../base/errors.js";
import { shortId, type SandboxId } from "../../base/ids.js";
import { Limiter } from "../../base/limiter.js";
import type { Logger } from "../../base/log.js";
import { neverAborted } from "../../base/signals.js";
import { namesIn } from "../../base/names-in.js";
import type { Config } from "../../config/config.js";
import { formerSandboxesFolder, netnsFolder, sandboxesFolder, sandboxFolder } from "../../config/paths.js";
import { RecordFolder } from "../../store/records.js";
import type { PodSpec } from "./pod-spec.js";
import { Sandbox } from "./sandbox.js";
import { sandboxRecords, type SandboxRecord } from "./sandbox-record.js";

/** Those of a directory that an earlier daemon has left open to every user. */
async function closedNamesIn(path: string): Promise<string[]> {
  const names = await namesIn(path);
  if (names.length > 0) await closedDirectory(path);
  return names;
}

/** What makes a sandbox unique to kubelet, as one string. */
export function sandboxKey({
  namespace,
  name,
  uid,
  attempt,
}: Pick<PodSpec, "namespace" | "name" | "uid" | "attempt">): string {
  return JSON.stringify([namespace, name, uid, attempt]);
}

/** All sandboxes, each a record on disk. The finished ones are visible; a creation under way is not. */
export class SandboxStore {
  /** One writer per sandbox. Taken before any lock of its containers, never after. */
  readonly locks = new Limiter<SandboxId>({ perKey: 1 });
  readonly #config: Config;
  readonly #records: RecordFolder<SandboxRecord>;
  readonly #sandboxes = new Map<SandboxId, Sandbox>();
  /** Writes of one record, in order, also those that were given up. */
  readonly #writes = new Limiter<SandboxId>({ perKey: 1 });

  private constructor(config: Config, records: RecordFolder<SandboxRecord>) {
    this.#config = config;
    this.#records = records;
  }

  /** Loads every record; `kind` may know older ones than the engine does. Half-made sandboxes are loaded too (state "creating"), for recovery to discard. */
  static async open(config: Config, log: Logger, kind = sandboxRecords): Promise<SandboxStore> {
    const records = await RecordFolder.open(config.root, kind, log);
    const store = new SandboxStore(config, records);
    for (const path of [sandboxesFolder(config), netnsFolder(config)]) await closedDirectory(path);
    const former = new Set(await closedNamesIn(formerSandboxesFolder(config)));
    for (const record of await records.load()) {
      const { id } = record;
      const folder = former.has(id) ? join(formerSandboxesFolder(config), id) : sandboxFolder(config, id);
      store.#sandboxes.set(id, new Sandbox(record, folder));
    }
    return store;
  }

  /** By id or by a prefix of it that fits one sandbox only. `invalidArgument` when it fits several. */
  find(idOrPrefix: string): Sandbox | undefined {
    const visible = this.list();
    const exact = visible.find((sandbox) => sandbox.id === idOrPrefix);
    if (exact !== undefined || idOrPrefix === "") return exact;
    const [first, second] = visible.filter((sandbox) => sandbox.id.startsWith(idOrPrefix));
    if (second !== undefined) {
      throw new RuntimeError("invalidArgument", `sandbox id "${idOrPrefix}" fits several`, {
        hint: "give more digits",
      });
    }
    return first;
  }

  /** As `find`; `notFound` when there is none. */
  require(idOrPrefix: string): Sandbox {
    const found = this.find(idOrPrefix);
    if (found === undefined) throw new RuntimeError("notFound", `sandbox "${shortId(idOrPrefix)}" does not exist`);
    return found;
  }

  /** True also for one whose creation is under way. */
  has(id: SandboxId): boolean {
    return this.#sandboxes.has(id);
  }

  findByKey(key: string): Sandbox | undefined {
    return this.list().find(({ spec }) => sandboxKey(spec) === key);
  }

  /** Those that were READY once, oldest first. */
  list(): Sandbox[] {
    return this.all().filter((sandbox) => sandbox.record.readyAtNs !== undefined);
  }

  /** Oldest first; also those whose creation is under way. */
  all(): Sandbox[] {
    return [...this.#sandboxes.values()].sort((a, b) => (a.record.createdAtNs < b.record.createdAtNs ? -1 : 1));
  }

  /** Writes a sandbox's first record. */
  async add(record: SandboxRecord): Promise<Sandbox> {
    return await this.#write(record.id, async () => {
      await this.#records.write(record);
      const sandbox = new Sandbox(record, sandboxFolder(this.#config, record.id));
      this.#sandboxes.set(record.id, sandbox);
      return sandbox;
    });
  }

  /** Writes what has changed, then shows it. The caller holds the sandbox's lock, or is its creation. */
  async update(sandbox: Sandbox, change: Partial<SandboxRecord>): Promise<void> {
    await this.#write(sandbox.id, async () => {
      const record = { ...sandbox.record, ...change };
      await this.#records.write(record);
      sandbox.setRecord(record);
    });
  }

  /** Success when it is not there. */
  async remove(id: SandboxId): Promise<void> {
    await this.#write(id, async () => {
      await this.#records.remove(id);
      this.#sandboxes.delete(id);
    });
  }

  /** A write that was given up may still come: the next one of the record builds on it. */
  async #write<T>(id: SandboxId, write: () => Promise<T>): Promise<T> {
    return await this.#writes.runWhenFree(id, neverAborted, write);
  }
}
