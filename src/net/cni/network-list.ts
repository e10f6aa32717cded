import * as z from "zod";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { cniVersions, isCniVersion, type CniVersion } from "./versions.js";

/** One plugin of a list: its whole configuration, as its file has it. */
const pluginSchema = z.looseObject({
  type: z.string().regex(/^(?!\.\.?$)[^/\0]+$/, "is no plugin's name"),
  capabilities: z.record(z.string(), z.boolean()).optional(),
});

export type PluginConfig = Readonly<z.infer<typeof pluginSchema>>;

/** A network: the plugins that a sandbox is taken through, in order. In records too, so that DEL needs no file. */
export const networkListSchema = z.object({
  name: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, "must begin with a letter or digit, then also _ . -"),
  cniVersion: z.enum(cniVersions),
  disableCheck: z.boolean(),
  disableGC: z.boolean(),
  plugins: z.array(pluginSchema).min(1),
});

export type NetworkList = Readonly<z.infer<typeof networkListSchema>>;

/** Some write booleans as text (CNI specification, section 1: disableCheck). */
const flag = z
  .union([
    z.boolean(),
    z
      .string()
      .toLowerCase()
      .pipe(z.enum(["true", "false"]))
      .transform((text) => text === "true"),
  ])
  .default(false);

const header = z.object({
  name: networkListSchema.shape.name,
  cniVersion: z.string().optional(),
  cniVersions: z.array(z.string()).default([]),
  disableCheck: flag,
  disableGC: flag,
  loadOnlyInlinedPlugins: flag,
});

/** What a configuration file says. */
export interface NetworkFile {
  /** May have no plugins yet where more of them are elsewhere. */
  readonly list: NetworkList;
  /** Whether the directory with the network's name, beside the file, has plugins that follow those of the file. */
  readonly hasDirectory: boolean;
}

/**
 * A configuration file: a list (`.conflist`) or one plugin (`.conf`, `.json`: it has a `type`), which is a list of one.
 * CNI specification, section 1. Throws `invalidArgument` that says what is wrong.
 */
export function parseNetworkFile(text: string): NetworkFile {
  const file = parse(z.looseObject({ plugins: z.array(pluginSchema).optional() }), json(text));
  const { name, cniVersion, cniVersions, disableCheck, disableGC, loadOnlyInlinedPlugins } = parse(header, file);
  const isList = file.plugins !== undefined || file["type"] === undefined;
  const plugins = isList ? (file.plugins ?? []) : [parse(pluginSchema, file)];
  const hasDirectory = isList && !loadOnlyInlinedPlugins;
  const listsNone = plugins.length === 0 && (file.plugins !== undefined || !hasDirectory);
  if (listsNone) throw new RuntimeError("invalidArgument", "plugins: it lists none");
  const list = { name, cniVersion: newestKnown(cniVersion, cniVersions), disableCheck, disableGC, plugins };
  return { list, hasDirectory };
}

/** A file of one plugin in the directory of a network. Throws `invalidArgument`. */
export function parsePlugin(text: string): PluginConfig {
  return parse(pluginSchema, json(text));
}

function json(text: string): unknown {
  try {
    return JSON.parse(text, finite) as unknown;
  } catch (thrown) {
    throw new RuntimeError("invalidArgument", `it is not JSON: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** A number beyond all numbers would be null to the plugin. */
function finite(_name: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) throw new Error("it has a number that is too large");
  return value;
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new RuntimeError("invalidArgument", wrong.join("; "));
}

/**
 * `cniVersion`, or the newest of `cniVersions` that we speak (specification 1.1, section 1). 0.1.0 where none is named, as
 * that version's text has it.
 */
function newestKnown(cniVersion = "", others: readonly string[] = []): CniVersion {
  if (cniVersion === "" && others.length === 0) return "0.1.0";
  const offered = [cniVersion, ...others];
  const newest = [...cniVersions].reverse().find((version) => offered.includes(version));
  if (newest !== undefined && isCniVersion(newest)) return newest;
  const named = offered.filter((version) => version !== "").map((version) => JSON.stringify(version));
  throw new RuntimeError("invalidArgument", `cniVersion: ${named.join(", ")} is not supported`, {
    hint: `supported: ${cniVersions.join(", ")}`,
  });
}
