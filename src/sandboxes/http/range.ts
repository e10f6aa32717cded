/** `Range: bytes=…` (RFC 9110): one range. Undefined: all of the file, as for every form that is not known. */
export type RangeAsked = { readonly offset: number; readonly length: number } | "unsatisfiable" | undefined;

const mostDigits = 15;

export function rangeAsked(header: string | undefined, size: number): RangeAsked {
  const [, from = "", to = ""] = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "") ?? [];
  if ((from === "" && to === "") || from.length > mostDigits || to.length > mostDigits) return undefined;
  if (from === "") {
    const length = Math.min(Number(to), size);
    return length === 0 ? "unsatisfiable" : { offset: size - length, length };
  }
  const offset = Number(from);
  const last = to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== "" && Number(to) < offset) return undefined;
  return offset >= size ? "unsatisfiable" : { offset, length: last - offset + 1 };
}
