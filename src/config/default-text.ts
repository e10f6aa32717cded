import { stringify } from "smol-toml";
import { settingNames, settings } from "./settings.js";

/** The default config as TOML with a comment per key. Parses to the defaults. */
export function defaultConfigText(): string {
  const lines = [
    "# a3s-box-cri-runtime. Every key with its default; a key left out keeps it. Flags win over this file.",
  ];
  let section = "";
  for (const name of settingNames) {
    const { about, allowed, standard } = settings[name];
    const dot = name.lastIndexOf(".");
    const [owner, key] = [name.slice(0, Math.max(dot, 0)), name.slice(dot + 1)];
    if (owner !== section) lines.push("", `[${owner}]`);
    section = owner;
    lines.push("", `# ${about}`, `# Allowed: ${allowed}.`, assignment(key, standard));
  }
  return `${lines.join("\n")}\n`;
}

/** One line, also for an empty table: its own section would end the one it is in. */
function assignment(key: string, standard: unknown): string {
  const isTable = typeof standard === "object" && !Array.isArray(standard);
  return isTable ? `${key} = {}` : stringify({ [key]: standard }).trim();
}
