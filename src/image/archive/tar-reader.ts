/**
 * Reads the names, links and contents of a tar as it streams by: ustar, GNU long names and numbers, PAX records. Bounded: of
 * an archive only headers and records are ever held, never content. Why not tar-stream: docs/adr/0101.
 */
import { RuntimeError } from "../../base/errors.js";
import { parsePax, paxNumber, type PaxRecords } from "./pax.js";
import { blockBytes, decodeText, malformedTar, parseHeader, type RawHeader } from "./tar-header.js";

type TarEntryType = "file" | "symlink" | "hardlink" | "other";

export interface TarEntry {
  /** As written: may be absolute, may have "..". */
  readonly name: string;
  readonly type: TarEntryType;
  readonly link: string;
  readonly sizeBytes: number;
}

/** Takes an entry's content; `end` comes after all of it. Either may return a promise to be waited for. */
export interface TarSink {
  write(chunk: Buffer): void | Promise<void>;
  end(): void | Promise<void>;
}

/** Called once per entry, in order; null: the content isn't wanted. */
export type TarVisitor = (entry: TarEntry) => TarSink | null | Promise<TarSink | null>;

const maxRecordBytes = 1024 * 1024;

const entryTypes: Readonly<Record<string, TarEntryType>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "other", // character device
  "4": "other", // block device
  "5": "other", // directory
  "6": "other", // FIFO
};

/** Reads to the end of the source, also past the end of the archive: whoever hashes the source sees all of it. */
export async function readTar(source: AsyncIterable<Buffer>, visit: TarVisitor): Promise<void> {
  const reader = new TarReader(visit);
  for await (const chunk of source) await reader.push(chunk);
  await reader.finish();
}

/** Where the content under way goes: to a sink, to memory (records), or nowhere. */
interface Content {
  readonly name: string;
  remainingBytes: number;
  paddingBytes: number;
  readonly sink: TarSink | null;
}

class TarReader {
  readonly #visit: TarVisitor;
  readonly #header = Buffer.alloc(blockBytes);
  #headerBytes = 0;
  #content: Content | null = null;
  #ended = false;
  #globals: PaxRecords = new Map();
  #records: PaxRecords = new Map();
  #longName: string | undefined;
  #longLink: string | undefined;

  constructor(visit: TarVisitor) {
    this.#visit = visit;
  }

  async push(chunk: Buffer): Promise<void> {
    let rest = chunk;
    while (rest.length > 0 && !this.#ended) {
      if (this.#content !== null) {
        rest = await this.#take(this.#content, rest);
        continue;
      }
      const taken = Math.min(blockBytes - this.#headerBytes, rest.length);
      rest.copy(this.#header, this.#headerBytes, 0, taken);
      this.#headerBytes += taken;
      rest = rest.subarray(taken);
      if (this.#headerBytes === blockBytes) await this.#begin();
    }
  }

  async finish(): Promise<void> {
    const content = this.#content;
    if (content !== null && content.remainingBytes > 0) {
      throw malformedTar(`it ends inside of "${content.name}", ${content.remainingBytes} bytes early`);
    }
    if (content !== null) await this.#complete(content);
    if (!this.#ended && this.#headerBytes > 0) throw malformedTar("it ends inside of a header");
  }

  async #take(content: Content, chunk: Buffer): Promise<Buffer> {
    let rest = chunk;
    if (content.remainingBytes > 0) {
      const part = rest.subarray(0, content.remainingBytes);
      content.remainingBytes -= part.length;
      rest = rest.subarray(part.length);
      const written = content.sink?.write(part);
      if (written !== undefined) await written;
    }
    if (content.remainingBytes === 0) {
      const skipped = Math.min(content.paddingBytes, rest.length);
      content.paddingBytes -= skipped;
      rest = rest.subarray(skipped);
      if (content.paddingBytes === 0) await this.#complete(content);
    }
    return rest;
  }

  async #complete(content: Content): Promise<void> {
    this.#content = null;
    const ended = content.sink?.end();
    if (ended !== undefined) await ended;
  }

  async #begin(): Promise<void> {
    this.#headerBytes = 0;
    const raw = parseHeader(this.#header);
    if (raw === null) {
      this.#ended = true;
      return;
    }
    const meta = this.#metaSink(raw);
    if (meta !== undefined) {
      if (raw.sizeBytes > maxRecordBytes) throw malformedTar(`a record has ${raw.sizeBytes} bytes`);
      await this.#open(raw.name, raw.sizeBytes, meta);
      return;
    }
    const entry = this.#entryOf(raw);
    this.#records = new Map();
    this.#longName = undefined;
    this.#longLink = undefined;
    const begun = this.#visit(entry);
    const sink = begun instanceof Promise ? await begun : begun;
    await this.#open(entry.name, entry.sizeBytes, sink);
  }

  async #open(name: string, sizeBytes: number, sink: TarSink | null): Promise<void> {
    const content: Content = {
      name,
      remainingBytes: sizeBytes,
      paddingBytes: (blockBytes - (sizeBytes % blockBytes)) % blockBytes,
      sink,
    };
    this.#content = content;
    if (sizeBytes === 0) await this.#complete(content);
  }

  /** The sink of a header that describes the next one; undefined for an entry of its own. */
  #metaSink(raw: RawHeader): TarSink | undefined {
    switch (raw.flag) {
      case "x":
        return collect((bytes) => {
          this.#records = parsePax(bytes);
        });
      case "g":
        return collect((bytes) => {
          this.#globals = new Map([...this.#globals, ...parsePax(bytes)]);
        });
      case "L":
        return collect((bytes) => {
          this.#longName = decodeText(untilNul(bytes));
        });
      case "K":
        return collect((bytes) => {
          this.#longLink = decodeText(untilNul(bytes));
        });
      default:
        return undefined;
    }
  }

  #entryOf(raw: RawHeader): TarEntry {
    const records = this.#globals.size === 0 ? this.#records : new Map([...this.#globals, ...this.#records]);
    const name = textOf(records, "path") ?? this.#longName ?? raw.name;
    const link = textOf(records, "linkpath") ?? this.#longLink ?? raw.link;
    if (name.includes("\0") || link.includes("\0")) throw malformedTar("a name has a NUL in it");
    const type = typeOf(raw, name, records);
    const sizeBytes = paxNumber(records, "size") ?? raw.sizeBytes;
    return {
      name,
      type,
      link,
      sizeBytes: type === "file" ? sizeBytes : 0, // pax(5): others have no content, whatever the field says
    };
  }
}

function typeOf(raw: RawHeader, name: string, records: PaxRecords): TarEntryType {
  const sparse = raw.flag === "S" || [...records.keys()].some((key) => key.startsWith("GNU.sparse."));
  if (sparse) throw new RuntimeError("unimplemented", `"${shown(name)}" is a sparse file`);
  const type = entryTypes[raw.flag];
  if (type === undefined) {
    throw new RuntimeError("unimplemented", `"${shown(name)}" has the unknown tar type ${JSON.stringify(raw.flag)}`);
  }
  return type === "file" && name.endsWith("/") && raw.flag !== "7" ? "other" : type; // a directory, before ustar
}

function textOf(records: PaxRecords, key: string): string | undefined {
  const value = records.get(key);
  return value === undefined || value.length === 0 ? undefined : decodeText(value);
}

function untilNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

function collect(done: (bytes: Buffer) => void): TarSink {
  const chunks: Buffer[] = [];
  return {
    write(chunk) {
      chunks.push(Buffer.from(chunk));
    },
    end() {
      done(Buffer.concat(chunks));
    },
  };
}

function shown(name: string): string {
  return name.length > 200 ? `${name.slice(0, 200)}…` : name;
}
