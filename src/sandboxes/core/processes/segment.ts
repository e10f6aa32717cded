/** The files of a ring: each has frames one after another; the newest is written to, the oldest goes first. */
import { constants } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isNotFound } from "../../../base/errors.js";
import { namesIn } from "../../../base/names-in.js";
import { decodeFrames, type Frame } from "./frame.js";

export interface Segment {
  /** 1, 2, 3, … of one ring. */
  readonly index: number;
  readonly path: string;
  /** Of its first byte in the process's output. */
  readonly offset: number;
  /** Of the file, whole frames only. */
  bytes: number;
}

/** What is read at a time: more than the longest frame. */
export const blockBytes = 128 * 1024;

export function segmentPath(directory: string, index: number): string {
  return join(directory, `output.${index}`);
}

/** Frames from a place in the file on, to at most a block of it; undefined where the file has gone. */
export async function readBlock(
  { path, bytes }: Pick<Segment, "path" | "bytes">,
  at: number,
): Promise<readonly Frame[] | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const block = Buffer.allocUnsafe(Math.min(blockBytes, bytes - at));
    const { bytesRead } = await file.read(block, 0, block.length, at);
    return decodeFrames(block.subarray(0, bytesRead)).frames;
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}

/** What a scan has found. */
export interface FoundSegments {
  readonly segments: Segment[];
  readonly sequence: bigint;
  /** Of the output, after the last whole frame. */
  readonly end: number;
}

/**
 * What an earlier daemon has left: only the newest file can have a torn end, which is cut off. Files without a whole frame
 * go.
 */
export async function findSegments(directory: string): Promise<FoundSegments> {
  const indexes = (await namesIn(directory))
    .flatMap((name) => /^output\.([1-9][0-9]{0,14})$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
  const segments: Segment[] = [];
  let last: Frame | undefined;
  for (const index of indexes) {
    const path = segmentPath(directory, index);
    if (last === undefined) {
      const found = await scan(path);
      if (found.first === undefined) {
        await rm(path, { force: true });
        continue;
      }
      last = found.last;
      segments.unshift({ index, path, offset: found.first.offset, bytes: found.bytes });
      continue;
    }
    const { size } = await stat(path);
    const [first] = (await readBlock({ path, bytes: size }, 0)) ?? [];
    if (first === undefined) break; // older than what can be read: as if the ring had dropped it
    segments.unshift({ index, path, offset: first.offset, bytes: size });
  }
  return { segments, sequence: last?.sequence ?? 0n, end: last === undefined ? 0 : last.offset + last.data.length };
}

async function scan(
  path: string,
): Promise<{ readonly first: Frame | undefined; readonly last: Frame | undefined; readonly bytes: number }> {
  await using file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  const block = Buffer.allocUnsafe(blockBytes);
  let first: Frame | undefined;
  let last: Frame | undefined;
  let at = 0;
  for (;;) {
    const { bytesRead } = await file.read(block, 0, block.length, at);
    const { frames, bytes } = decodeFrames(block.subarray(0, bytesRead));
    first ??= frames[0] === undefined ? undefined : detached(frames[0]);
    const newest = frames.at(-1);
    if (newest === undefined) break;
    last = detached(newest);
    at += bytes;
  }
  await file.truncate(at);
  return { first, last, bytes: at };
}

/** Of the block that is read into again. */
function detached(frame: Frame): Frame {
  return { ...frame, data: Uint8Array.from(frame.data) };
}
