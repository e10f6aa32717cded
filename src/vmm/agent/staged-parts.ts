import type { StagedPart } from "../../gen/agent/v1/agent.js";

/** StagedPart.length of the contract. */
const stagedPartBytes = 1024 * 1024;
/** So many are written or read at a time. */
const places = 4;
export const stagingBytes = places * stagedPartBytes;

/** A file of the share (`Box.stageUpload`). */
export interface StagingFile extends AsyncDisposable {
  readonly guestPath: string;
  write(data: Uint8Array, offset: number): Promise<void>;
}

/** Opens one; undefined where there can be none, and the channel has to do. */
export type Stage = (signal: AbortSignal) => Promise<StagingFile | undefined>;

/** Lays a file's bytes into places of a staging file, one part after the other; a place is used again once it is taken. */
export class StagedParts {
  readonly #file: StagingFile;
  #begun = 0;
  #taken = 0;
  /** Of the part that is being laid. */
  #bytes = 0;
  #wake: () => void = () => undefined;

  constructor(file: StagingFile) {
    this.#file = file;
  }

  /** The agent has read so many since the call began. False: there were not so many. */
  take(taken: number): boolean {
    const complete = this.#bytes > 0 ? this.#begun - 1 : this.#begun;
    if (taken < this.#taken || taken > complete) return false;
    this.#taken = taken;
    this.#wake();
    return true;
  }

  /** Resolves when there is a place for the next bytes. */
  async place(): Promise<void> {
    while (this.#bytes === 0 && this.#begun - this.#taken >= places) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** After `place`. The part that is full now, if one is; `data` is a fraction of a part, by a whole number. */
  async add(data: Uint8Array): Promise<StagedPart | undefined> {
    if (this.#bytes === 0) this.#begun += 1;
    await this.#file.write(data, this.#offset() + this.#bytes);
    this.#bytes += data.length;
    return this.#bytes >= stagedPartBytes ? this.rest() : undefined;
  }

  /** The part that is not full; nothing is laid then. */
  rest(): StagedPart | undefined {
    if (this.#bytes === 0) return undefined;
    const part = { offset: BigInt(this.#offset()), length: this.#bytes };
    this.#bytes = 0;
    return part;
  }

  #offset(): number {
    return ((this.#begun - 1) % places) * stagedPartBytes;
  }
}
