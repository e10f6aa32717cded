/** So long other work waits for messages of agents that have arrived already: of all calls together. */
const longestTurnMs = 10;

/** When the turn that is under way is over; undefined: none is. */
let endsMs: number | undefined;
/** Who waits for one, in order. */
const waiting: (() => void)[] = [];

/**
 * Undefined while there is time left in this turn of the loop; else what to wait for. A guest has many calls, and makes
 * some of them itself by connecting: together they get no more of a turn than one.
 */
export function nextTurn(): Promise<void> | undefined {
  if (endsMs === undefined) {
    endsMs = performance.now() + longestTurnMs;
    setImmediate(begin);
  }
  if (performance.now() <= endsMs) return undefined;
  return new Promise((resolve) => {
    waiting.push(resolve);
  });
}

/** One at a time: what it does then comes before the next immediate. */
function begin(): void {
  const first = waiting.shift();
  if (first === undefined) {
    endsMs = undefined;
    return;
  }
  endsMs = performance.now() + longestTurnMs;
  setImmediate(begin);
  first();
}
