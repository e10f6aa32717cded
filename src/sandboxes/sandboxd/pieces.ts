/** No message or write is longer, whatever the sandbox has handed out at once. */
export const longestPiece = 64 * 1024;

/** Bytes in pieces that a message may carry; none of nothing. */
export function* piecesOf(data: Uint8Array, longest = longestPiece): Generator<Uint8Array> {
  for (let at = 0; at < data.length; at += longest) yield data.subarray(at, at + longest);
}
