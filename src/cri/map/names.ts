/**
 * What the engine calls a number of CRI's, by the table that leads the other way. Undefined for a number that this version of
 * CRI has no name for: a newer client may send one.
 */
export function nameOf<Name extends string>(numbers: Readonly<Record<Name, number>>, value: number): Name | undefined {
  for (const [name, number] of Object.entries<number>(numbers)) {
    if (number === value && isIn(numbers, name)) return name;
  }
  return undefined;
}

function isIn<Name extends string>(numbers: Readonly<Record<Name, number>>, name: string): name is Name {
  return Object.hasOwn(numbers, name);
}
