/** PAX records: "LENGTH KEY=VALUE\n", the length counting all of the record. Source: pax(5), "pax Header Block". */
import { malformedTar } from "./tar-header.js";

/** Values are bytes: an extended attribute's is binary. An empty value takes a record back. */
export type PaxRecords = ReadonlyMap<string, Buffer>;

export function parsePax(bytes: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] === 0) break; // padding that some writers count in
    const space = bytes.indexOf(0x20, at);
    if (space < 0 || space - at > 10) throw malformedTar("a PAX record has no length");
    const digits = bytes.toString("latin1", at, space);
    const end = at + Number.parseInt(digits, 10);
    if (!/^[0-9]+$/.test(digits) || end <= space + 1 || end > bytes.length || bytes[end - 1] !== 0x0a) {
      throw malformedTar("a PAX record has a wrong length");
    }
    const equals = bytes.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw malformedTar("a PAX record has no value");
    const key = bytes.toString("utf8", space + 1, equals);
    records.set(key, bytes.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** A whole number of a record, or undefined when it is not given. */
export function paxNumber(records: PaxRecords, key: string): number | undefined {
  const value = paxText(records, key);
  if (value === undefined) return undefined;
  const parsed = Number(value);
  if (!/^[0-9]+$/.test(value) || !Number.isSafeInteger(parsed))
    throw malformedTar(`the PAX record ${key} is not a number`);
  return parsed;
}

function paxText(records: PaxRecords, key: string): string | undefined {
  const value = records.get(key);
  return value === undefined || value.length === 0 ? undefined : value.toString("latin1");
}
