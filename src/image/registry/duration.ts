const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const part = /^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)/;

/** "1m30s", "500ms", "1.5h" in milliseconds, as Go's time.ParseDuration reads them; undefined for anything else. */
export function durationMs(text: string): number | undefined {
  let rest = text;
  let totalMs = 0;
  do {
    const found = part.exec(rest);
    if (found === null) return undefined;
    totalMs += Number(found[1]) * (unitMs[found[2] ?? ""] ?? 0);
    rest = rest.slice(found[0].length);
  } while (rest !== "");
  return totalMs;
}
