/**
 * The machine's apt sources, read and written again: a suite that the machine does not list is had from the mirror that
 * it does. Source: man 5 sources.list, both the one-line and the deb822 format.
 */
export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Signed-By, Trusted and the like, as they stand. */
  readonly options: ReadonlyMap<string, string>;
}

/** Options that still make sense for another suite of the same mirror. */
const keptOptions = new Set(["signed-by", "trusted", "allow-insecure", "check-valid-until", "check-date"]);

/** `*.sources`: stanzas of "Field: value", continued by lines that begin with a blank. */
export function parseDeb822(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const stanza of text.split(/\n[ \t]*\n/)) {
    const fields = stanzaFields(stanza);
    const words = (name: string): string[] => (fields.get(name) ?? "").split(/\s+/).filter((word) => word !== "");
    if (!words("types").includes("deb") || /^(no|false|0)$/i.test(fields.get("enabled") ?? "")) continue;
    const options = new Map([...fields].filter(([name]) => keptOptions.has(name)));
    sources.push({ uris: words("uris"), suites: words("suites"), components: words("components"), options });
  }
  return sources;
}

function stanzaFields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let current = "";
  for (const line of stanza.split("\n")) {
    if (line.startsWith("#")) continue;
    const named = /^([A-Za-z0-9-]+):[ \t]*(.*)$/.exec(line);
    if (named?.[1] !== undefined) {
      current = named[1].toLowerCase();
      fields.set(current, named[2] ?? "");
    } else if (/^[ \t]/.test(line) && current !== "") {
      fields.set(current, `${fields.get(current) ?? ""}\n${line}`);
    }
  }
  return fields;
}

/** `*.list`: "deb [option=value …] uri suite component …". */
export function parseOneLine(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const raw of text.split("\n")) {
    const line = raw.replace(/#.*/, "").trim();
    const parts = /^deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)$/.exec(line);
    if (parts?.[2] === undefined || parts[3] === undefined) continue;
    const options = new Map<string, string>();
    for (const option of (parts[1] ?? "").split(/\s+/)) {
      const [name, value] = option.split("=", 2);
      if (name !== undefined && value !== undefined && keptOptions.has(name.toLowerCase())) {
        options.set(name.toLowerCase(), value);
      }
    }
    const components = (parts[4] ?? "").split(/\s+/).filter((word) => word !== "");
    sources.push({ uris: [parts[2]], suites: [parts[3]], components, options });
  }
  return sources;
}

/** The source that has the release itself ("bookworm", or the alias "stable"): Debian's main archive. */
export function mainArchive(sources: readonly AptSource[], codename: string): AptSource | undefined {
  const named = sources.find((source) => source.suites.includes(codename) && source.components.includes("main"));
  const aliases = ["stable", "oldstable", "testing"];
  return (
    named ??
    sources.find((source) => source.suites.some((s) => aliases.includes(s)) && source.components.includes("main"))
  );
}

/** The source that has the release's security updates, which is an archive of its own at Debian. */
export function securityArchive(sources: readonly AptSource[], codename: string): AptSource | undefined {
  return sources.find((source) => source.suites.some((suite) => suite.startsWith(`${codename}-security`)));
}

/** The same archive, other suites. */
export function withSuites(archive: AptSource, suites: readonly string[]): AptSource {
  return { ...archive, suites, components: ["main"] };
}

/** As deb822. */
export function renderSources(sources: readonly AptSource[]): string {
  return sources
    .map((source) => {
      const options = [...source.options].map(([name, value]) => `${name}: ${value}\n`).join("");
      const { uris, suites, components } = source;
      return `Types: deb\nURIs: ${uris.join(" ")}\nSuites: ${suites.join(" ")}\nComponents: ${components.join(" ")}\n${options}`;
    })
    .join("\n");
}
