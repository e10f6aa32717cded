import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The version in package.json: `runtime_version`, and what `--version` prints. */
export function packageVersion(): string {
  const text = readFileSync(join(import.meta.dirname, "../../package.json"), "utf8");
  const parsed: unknown = JSON.parse(text);
  const isPackage = typeof parsed === "object" && parsed !== null && "version" in parsed;
  return isPackage && typeof parsed.version === "string" ? parsed.version : "0.0.0";
}
