/** Items of a streamed list in one message: at kubelet's usual sizes far below the 16 MiB that a message may have. */
const partLength = 32;

/** A list in parts of at least one item each; an empty list has no parts (api.proto, the Stream RPCs). */
export function inParts<T>(items: readonly T[]): T[][] {
  const parts: T[][] = [];
  for (let start = 0; start < items.length; start += partLength) parts.push(items.slice(start, start + partLength));
  return parts;
}
