import { join } from "node:path";
import { closedDirectory } from "../../base/closed-directory.js";
import { RuntimeError } from "../../base/errors.js";
import { shortId, type PodId } from "../../base/ids.js";
import { Limiter } from "../../base/limiter.js";
import type { Logger } from "../../base/log.js";
import { neverAborted } from "../../base/signals.js";
import { namesIn } from "../../base/names-in.js";
import type { Config } from "../../config/config.js";
import { formerSandboxesDirectory, netnsDirectory, sandboxesDirectory, sandboxDirectory } from "../../config/paths.js";
import { RecordDirectory } from "../../store/records.js";
import type { PodSpec } from "./pod-spec.js";
import { Pod } from "./pod.js";
import { podRecords, type PodRecord } from "./pod-record.js";

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
export class PodStore {
  /** One writer per sandbox. Taken before any lock of its containers, never after. */
  readonly locks = new Limiter<PodId>({ perKey: 1 });
  readonly #config: Config;
  readonly #records: RecordDirectory<PodRecord>;
  readonly #sandboxes = new Map<PodId, Pod>();
  /** Writes of one record, in order, also those that were given up. */
  readonly #writes = new Limiter<PodId>({ perKey: 1 });

  private constructor(config: Config, records: RecordDirectory<PodRecord>) {
    this.#config = config;
    this.#records = records;
  }

  /** Loads every record; `kind` may know older ones than the engine does. Half-made sandboxes are loaded too (state "creating"), for recovery to discard. */
  static async open(config: Config, log: Logger, kind = podRecords): Promise<PodStore> {
    const records = await RecordDirectory.open(config.root, kind, log);
    const store = new PodStore(config, records);
    for (const path of [sandboxesDirectory(config), netnsDirectory(config)]) await closedDirectory(path);
    const former = new Set(await closedNamesIn(formerSandboxesDirectory(config)));
    for (const record of await records.load()) {
      const { id } = record;
      const directory = former.has(id) ? join(formerSandboxesDirectory(config), id) : sandboxDirectory(config, id);
      store.#sandboxes.set(id, new Pod(record, directory));
    }
    return store;
  }

  /** By id or by a prefix of it that fits one sandbox only. `invalidArgument` when it fits several. */
  find(idOrPrefix: string): Pod | undefined {
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
  require(idOrPrefix: string): Pod {
    const found = this.find(idOrPrefix);
    if (found === undefined) throw new RuntimeError("notFound", `sandbox "${shortId(idOrPrefix)}" does not exist`);
    return found;
  }

  /** Whether a pod has ports that the service of this name serves. */
  anyServedBy(service: string): boolean {
    return this.all().some(({ record }) => record.served?.some((one) => one.service === service));
  }

  /** True also for one whose creation is under way. */
  has(id: PodId): boolean {
    return this.#sandboxes.has(id);
  }

  findByKey(key: string): Pod | undefined {
    return this.list().find(({ spec }) => sandboxKey(spec) === key);
  }

  /** Those that were READY once, oldest first. */
  list(): Pod[] {
    return this.all().filter((sandbox) => sandbox.record.readyAtNs !== undefined);
  }

  /** Oldest first; also those whose creation is under way. */
  all(): Pod[] {
    return [...this.#sandboxes.values()].sort((a, b) => (a.record.createdAtNs < b.record.createdAtNs ? -1 : 1));
  }

  /** Writes a sandbox's first record. */
  async add(record: PodRecord): Promise<Pod> {
    return await this.#write(record.id, async () => {
      await this.#records.write(record);
      const sandbox = new Pod(record, sandboxDirectory(this.#config, record.id));
      this.#sandboxes.set(record.id, sandbox);
      return sandbox;
    });
  }

  /** Writes what has changed, then shows it. The caller holds the sandbox's lock, or is its creation. */
  async update(sandbox: Pod, change: Partial<PodRecord>): Promise<void> {
    await this.#write(sandbox.id, async () => {
      const record = { ...sandbox.record, ...change };
      await this.#records.write(record);
      sandbox.setRecord(record);
    });
  }

  /** Success when it is not there. */
  async remove(id: PodId): Promise<void> {
    await this.#write(id, async () => {
      await this.#records.remove(id);
      this.#sandboxes.delete(id);
    });
  }

  /** A write that was given up may still come: the next one of the record builds on it. */
  async #write<T>(id: PodId, write: () => Promise<T>): Promise<T> {
    return await this.#writes.runWhenFree(id, neverAborted, write);
  }
}
