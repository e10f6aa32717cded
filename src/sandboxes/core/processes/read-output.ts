import { RuntimeError } from "../../../base/errors.js";
import type { ProcessEvent } from "../process.js";
import { headerBytes, type Frame } from "./frame.js";
import type { OutputRing } from "./ring.js";
import { readBlock } from "./segment.js";

type OutputEvent = Exclude<ProcessEvent, { readonly kind: "exit" }>;

/** Where a reader is: in the output, and in the files as far as that is known. */
interface Place {
  offset: number;
  index: number | undefined;
  at: number;
}

/**
 * Output of a process from a byte of it on, as it is written; ends when `isOver` says so at its end, and with the signal.
 * Holds no file open and no memory while it waits, or its consumer does; what the ring has dropped meanwhile is told as lost.
 */
export async function* readOutput(
  ring: OutputRing,
  from: number,
  isOver: () => boolean,
  signal: AbortSignal,
): AsyncGenerator<OutputEvent, void> {
  const place: Place = { offset: Math.min(from, ring.end), index: undefined, at: 0 };
  while (!signal.aborted) {
    if (!isAtEnd(ring, place)) {
      for (const frame of await framesAt(ring, place)) yield* eventsOf(frame, place);
      continue;
    }
    if (place.offset < ring.end) {
      yield { kind: "lost", bytes: ring.end - place.offset };
      place.offset = ring.end;
      continue;
    }
    if (isOver()) return;
    const live = await ring.changed(signal);
    if (live?.frame.offset !== place.offset) continue;
    yield* eventsOf(live.frame, place);
    place.index = live.index;
    place.at = live.at;
  }
}

/** No frame behind this place is in the files. */
function isAtEnd({ segments, end }: OutputRing, { offset, index, at }: Place): boolean {
  const newest = segments.at(-1);
  if (newest === undefined) return true;
  return index === newest.index ? at >= newest.bytes : offset >= end;
}

/** Moves the place along; nothing where the ring has dropped it meanwhile: the next look finds what there is. */
async function framesAt({ segments }: OutputRing, place: Place): Promise<readonly Frame[]> {
  let segment = segments.find(({ index }) => index === place.index);
  if (segment !== undefined && place.at >= segment.bytes) {
    segment = segments.find(({ index }) => index === (place.index ?? 0) + 1);
    place.at = 0;
  }
  if (segment === undefined) {
    segment = segments.findLast(({ offset }) => offset <= place.offset) ?? segments[0];
    place.at = 0;
  }
  if (segment === undefined) return [];
  place.index = segment.index;
  if (place.at >= segment.bytes) return [];
  const frames = await readBlock(segment, place.at);
  if (frames === undefined && !segments.includes(segment)) {
    place.index = undefined;
    return [];
  }
  if (frames === undefined || frames.length === 0) {
    throw new RuntimeError("internal", `output in ${segment.path} can't be read`);
  }
  place.at += frames.reduce((sum, { data }) => sum + headerBytes + data.length, 0);
  return frames;
}

function* eventsOf(frame: Frame, place: Place): Generator<OutputEvent, void> {
  const end = frame.offset + frame.data.length;
  if (end <= place.offset) return;
  if (frame.offset > place.offset) {
    yield { kind: "lost", bytes: frame.offset - place.offset };
    place.offset = frame.offset;
  }
  const { stream, data } = frame;
  const offset = place.offset;
  place.offset = end;
  yield { kind: "output", stream, data: data.subarray(offset - frame.offset), offset };
}
