/** Milliseconds to wait, of a Retry-After header; undefined for none. Source: RFC 9110, 10.2.3: seconds, or a date. */
export function retryAfterMs(header: string): number | undefined {
  if (header === "") return undefined;
  const waitMs = /^[0-9]+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(waitMs) ? undefined : Math.max(waitMs, 0);
}
