import { validateHeaderName, validateHeaderValue } from "node:http";

/** Of the connection alone; an account's cookies, and where else it could be asked, are not a guest's business. */
const dropped = new Set([
  ...["connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding"],
  ...["upgrade", "set-cookie", "set-cookie2", "alt-svc", "www-authenticate", "strict-transport-security"],
]);

/** Name, value, name, value …, as they came and in their order. */
export function headersBack(raw: readonly string[]): string[] {
  const back: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = "", value = ""] = raw.slice(at, at + 2);
    if (!dropped.has(name.toLowerCase()) && isWritable(name, value)) back.push(name, value);
  }
  return back;
}

export function headerOf(raw: readonly string[], wanted: string): string {
  const at = raw.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === wanted);
  return at < 0 ? "" : (raw[at + 1] ?? "");
}

function isWritable(name: string, value: string): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}
