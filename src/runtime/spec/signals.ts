/** Signals by name. Source: signal(7), the x86-64 and arm64 numbers (they agree). */
import { RuntimeError } from "../../base/errors.js";

const ordered =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU " +
  "XFSZ VTALRM PROF WINCH IO PWR SYS";

const numbers = new Map<string, number>([
  ...ordered.split(" ").map((name, index): [string, number] => [`SIG${name}`, index + 1]),
  ["SIGCLD", 17],
  ["SIGIOT", 6],
  ["SIGPOLL", 29],
]);

/** First and last real-time signal as programs see them (glibc keeps 32 and 33 for itself). */
const rtmin = 34;
const rtmax = 64;

export const sigkill = 9;

/**
 * As Linux numbers it: the container's own wish, else its image's, else SIGTERM. An image's signal that can't be read is
 * SIGTERM as well.
 */
export function stopSignal(wish: string | undefined, ofImage: string): number {
  if (wish === undefined) return parseSignal(ofImage) ?? 15;
  const number = numberOfName(wish);
  if (number === undefined) throw new RuntimeError("invalidArgument", `stop_signal ${wish} is not a known signal`);
  return number;
}

/** "SIGQUIT", "QUIT", "SIGRTMIN+3" or "3". */
export function parseSignal(text: string): number | undefined {
  if (/^[0-9]{1,2}$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= rtmax ? number : undefined;
  }
  const upper = text.toUpperCase();
  return numberOfName(upper.startsWith("SIG") ? upper : `SIG${upper}`);
}

/** "SIGQUIT"; "SIGRTMIN+3", which CRI calls "SIGRTMINPLUS3". */
export function numberOfName(name: string): number | undefined {
  const known = numbers.get(name);
  if (known !== undefined) return known;
  const fromRange = /^SIGRT(MIN|MAX)(?:(?:\+|PLUS|-|MINUS)([0-9]{1,2}))?$/.exec(name);
  if (fromRange === null) return undefined;
  const offset = Number(fromRange[2] ?? "0");
  const number = fromRange[1] === "MIN" ? rtmin + offset : rtmax - offset;
  return number >= rtmin && number <= rtmax ? number : undefined;
}
