import { Limiter } from "../../base/limiter.js";
import type { Logger } from "../../base/log.js";
import { neverAborted } from "../../base/signals.js";
import { RecordDirectory } from "../../store/records.js";
import { agentSandboxRecords, type AgentSandboxRecord } from "./record.js";
import type { SandboxName } from "./sandbox.js";

/** The records of all sandboxes, on disk and here. */
export class RecordStore {
  readonly #directory: RecordDirectory<AgentSandboxRecord>;
  readonly #records = new Map<SandboxName, AgentSandboxRecord>();
  /** Writes of one record, in order, also those that were given up. */
  readonly #writes = new Limiter<SandboxName>({ perKey: 1 });

  private constructor(directory: RecordDirectory<AgentSandboxRecord>) {
    this.#directory = directory;
  }

  static async open(root: string, log: Logger): Promise<RecordStore> {
    const store = new RecordStore(await RecordDirectory.open(root, agentSandboxRecords, log));
    for (const record of await store.#directory.load()) store.#records.set(record.id, record);
    return store;
  }

  get(id: SandboxName): AgentSandboxRecord | undefined {
    return this.#records.get(id);
  }

  /** In the order in which they were made. */
  all(): AgentSandboxRecord[] {
    return [...this.#records.values()].sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
  }

  ofTenant(tenant: string): AgentSandboxRecord[] {
    return this.all().filter((record) => record.tenant === tenant);
  }

  /** It counts from now on; the promise is for the disk. */
  async add(record: AgentSandboxRecord): Promise<void> {
    this.#records.set(record.id, record);
    await this.#write(record.id, () => this.#directory.write(record));
  }

  /** Writes what has changed, then shows it. Undefined where there is none any more. */
  async update(id: SandboxName, change: Partial<AgentSandboxRecord>): Promise<AgentSandboxRecord | undefined> {
    return await this.#write(id, async () => {
      const before = this.#records.get(id);
      if (before === undefined) return undefined;
      const record = { ...before, ...change };
      await this.#directory.write(record);
      this.#records.set(id, record);
      return record;
    });
  }

  /** Success when it is not there. */
  async remove(id: SandboxName): Promise<void> {
    await this.#write(id, async () => {
      await this.#directory.remove(id);
      this.#records.delete(id);
    });
  }

  async #write<T>(id: SandboxName, write: () => Promise<T>): Promise<T> {
    return await this.#writes.runWhenFree(id, neverAborted, write);
  }
}
