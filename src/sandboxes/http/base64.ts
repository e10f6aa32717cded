/** Base64 of either alphabet, padded or not: Node itself takes anything, and leaves out what it does not understand. */
export function isBase64(text: string): boolean {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const length = text.length - padding;
  return length % 4 !== 1 && /^[A-Za-z0-9+/_-]*$/.test(text.slice(0, length));
}
