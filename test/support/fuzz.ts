/**
 * For every test with fast-check: import this file. The same cases in each run, so that a run that passed passes again;
 * `A3S_FUZZ_SEED` chooses others (a number), `A3S_FUZZ_RUNS` how many for each property.
 */
import fc from "fast-check";

const seed = Number(process.env["A3S_FUZZ_SEED"] ?? "20261");
const numRuns = Number(process.env["A3S_FUZZ_RUNS"] ?? "300");
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(numRuns)) {
  throw new Error("A3S_FUZZ_SEED and A3S_FUZZ_RUNS must be whole numbers");
}

fc.configureGlobal({ seed, numRuns });

/** For properties that need more than the usual number of cases. */
export function times(factor: number): { numRuns: number } {
  return { numRuns: numRuns * factor };
}

/** Names that an object has without having them: what a parser takes for a key must not find these. */
export const inheritedNames = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "prototype"];

/** Any JSON, with inherited names among its keys and strings. */
export function hostileJson(): fc.Arbitrary<unknown> {
  const text = fc.oneof(fc.string(), fc.constantFrom(...inheritedNames, "", "\u0000", "sha256:", "application/json"));
  const leaf = fc.oneof(text, fc.double(), fc.constantFrom(null, true, false, -1, 2 ** 53, 1e308, 0.5), fc.integer());
  return fc.letrec<{ any: unknown }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie("any"), { maxLength: 4 }),
      fc.array(fc.tuple(text, tie("any")), { maxLength: 4 }).map((members) => Object.fromEntries(members)),
    ),
  })).any;
}

/** JSON.parse makes an own member of `__proto__`, and what JSON has no word for is gone. */
export function asText(json: unknown): string {
  return JSON.stringify(json);
}

/** A good value with something in it replaced, taken out or added, at a few places. */
export function spoiled(good: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const change = fc.record({
    at: fc.nat(),
    kind: fc.constantFrom("replace", "remove", "add" as const),
    name: fc.oneof(fc.constantFrom(...inheritedNames), fc.string()),
    value: hostileJson(),
  });
  return fc
    .tuple(good, fc.array(change, { minLength: 1, maxLength: 3 }))
    .map(([value, changes]) => changes.reduce<unknown>((all, { at, ...how }) => changeAt(all, at, how), value));
}

interface Change {
  readonly kind: string;
  readonly name: string;
  readonly value: unknown;
}

function changeAt(value: unknown, at: number, change: Change): unknown {
  if (typeof value !== "object" || value === null) return change.value;
  const members: [string, unknown][] = Object.entries(value);
  const position = at % (members.length + 1);
  const deeper = Math.floor(at / (members.length + 1));
  const chosen = members[position];
  if (chosen === undefined) return rebuilt(value, [...members, [change.name, change.value]]);
  if (typeof chosen[1] === "object" && deeper > 0) {
    members[position] = [chosen[0], changeAt(chosen[1], deeper, change)];
    return rebuilt(value, members);
  }
  if (change.kind === "remove") members.splice(position, 1);
  else if (change.kind === "add") members.push([change.name, change.value]);
  else members[position] = [chosen[0], change.value];
  return rebuilt(value, members);
}

function rebuilt(like: object, members: readonly (readonly [string, unknown])[]): unknown {
  return Array.isArray(like) ? members.map(([, value]) => value) : Object.fromEntries(members);
}
