/**
 * Builds tars entry by entry, honest or hostile: nothing is checked, so that a test can write what no tar program
 * would. POSIX ustar headers with PAX records where asked for (pax(5), "ustar interchange format").
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

type TarEntryType =
  | "file"
  | "directory"
  | "symlink"
  | "hardlink"
  | "character"
  | "block"
  | "fifo"
  | "gnuLongName"
  | "gnuLongLink"
  | "gnuSparse"
  | "gnuVolume"
  | "pax"
  | "paxGlobal";

export interface TarEntry {
  readonly name: string;
  readonly type?: TarEntryType;
  readonly content?: string | Uint8Array;
  readonly link?: string;
  /** Permission bits with set-uid and friends; 0644 for files and 0755 for directories when left out. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds. */
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
  /** Size in the header when it is to differ from the content's. */
  readonly claimedSize?: number;
  /** PAX records that go before the entry. */
  readonly pax?: Readonly<Record<string, string | Uint8Array>>;
  /** A header whose checksum is wrong. */
  readonly badChecksum?: boolean;
}

const blockBytes = 512;

const typeFlags: Readonly<Record<TarEntryType, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
  gnuLongLink: "K",
  gnuLongName: "L",
  gnuSparse: "S",
  gnuVolume: "V",
  pax: "x",
  paxGlobal: "g",
};

/** The whole archive with its two empty blocks at the end. */
export function buildTar(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.map(encodeEntry), Buffer.alloc(2 * blockBytes)]);
}

export interface BuiltLayer {
  readonly bytes: Buffer;
  readonly diffId: string;
  readonly digest: string;
  readonly mediaType: string;
}

/** A layer as a registry has it. */
export function buildLayer(entries: readonly TarEntry[], compression: "gzip" | "none" = "gzip"): BuiltLayer {
  const tar = buildTar(entries);
  const bytes = compression === "gzip" ? gzipSync(tar, { level: 1 }) : tar;
  const suffix = compression === "gzip" ? "+gzip" : "";
  return {
    bytes,
    diffId: sha256(tar),
    digest: sha256(bytes),
    mediaType: `application/vnd.oci.image.layer.v1.tar${suffix}`,
  };
}

export function sha256(content: string | Uint8Array): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

function encodeEntry(entry: TarEntry): Buffer {
  const content = Buffer.from(entry.content ?? "");
  const parts: Buffer[] = [];
  if (entry.pax !== undefined) {
    const records = Buffer.concat(Object.entries(entry.pax).map(([key, value]) => encodePaxRecord(key, value)));
    parts.push(encodeEntry({ name: "PaxHeaders/entry", type: "pax", content: records }));
  }
  parts.push(encodeHeader(entry, entry.claimedSize ?? content.length), content);
  const rest = content.length % blockBytes;
  if (rest !== 0) parts.push(Buffer.alloc(blockBytes - rest));
  return Buffer.concat(parts);
}

function encodePaxRecord(key: string, value: string | Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

function encodeHeader(entry: TarEntry, sizeBytes: number): Buffer {
  const type = entry.type ?? "file";
  const header = Buffer.alloc(blockBytes);
  header.write(entry.name, 0, 100, "utf8");
  header.write(octal(entry.mode ?? (type === "directory" ? 0o755 : 0o644), 7), 100);
  writeNumber(header, entry.uid ?? 0, 108);
  writeNumber(header, entry.gid ?? 0, 116);
  header.write(octal(sizeBytes, 11), 124);
  header.write(octal(entry.mtime ?? 1_700_000_000, 11), 136);
  header.fill(" ", 148, 156);
  header.write(typeFlags[type], 156);
  header.write(entry.link ?? "", 157, 100, "utf8");
  header.write("ustar\u000000", 257, "latin1");
  header.write(octal(entry.major ?? 0, 7), 329);
  header.write(octal(entry.minor ?? 0, 7), 337);
  let sum = entry.badChecksum === true ? 1 : 0;
  for (const byte of header) sum += byte;
  header.write(`${octal(sum, 6)}\u0000 `, 148, "latin1");
  return header;
}

/** Octal where it fits, else GNU base-256. */
function writeNumber(header: Buffer, value: number, at: number): void {
  if (value <= 0o7777777) {
    header.write(octal(value, 7), at);
    return;
  }
  header[at] = 0x80;
  header.writeUInt32BE(value, at + 4);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}
