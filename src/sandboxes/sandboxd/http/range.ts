/** Bytes from `offset`; `length` is 1 at least. */
export interface Part {
  readonly offset: number;
  readonly length: number;
}

/**
 * What of a file the header `Range` asks for (RFC 9110, 14.1.2): one part of it; undefined: all, as where the header is none
 * of bytes or has several parts; "none": no byte of it is there.
 */
export function partOf(header: string | undefined, size: number): Part | "none" | undefined {
  const [, from = "", to = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec((header ?? "").replaceAll(" ", "")) ?? [];
  if (from === "" && to === "") return undefined;
  if (from === "") {
    const length = Math.min(Number(to), size);
    return length === 0 ? "none" : { offset: size - length, length };
  }
  const offset = Number(from);
  if (to !== "" && Number(to) < offset) return undefined;
  if (offset >= size) return "none";
  const last = to === "" ? size - 1 : Math.min(Number(to), size - 1);
  return { offset, length: last - offset + 1 };
}
