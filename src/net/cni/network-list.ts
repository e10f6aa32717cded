import * as z from "zod";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { cniVersions, isCniVersion, type CniVersion } from "./versions.js";

/** One plugin of a list: its whole configuration, as its file has it. */
const pluginSchema = z.looseObject({
  type: z.string().regex(/^[^/\0]+$/, "is no plugin's name"),
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
const flag = z.union([z.boolean(), z.enum(["true", "false"]).transform((text) => text === "true")]).default(false);

const header = z.object({
  name: networkListSchema.shape.name,
  cniVersion: z.string().optional(),
  cniVersions: z.array(z.string()).default([]),
  disableCheck: flag,
  disableGC: flag,
});

/**
 * A configuration file: a list (`.conflist`: it has `plugins`) or one plugin (`.conf`, `.json`), which is a list of one.
 * CNI specification, section 1. Throws `invalidArgument` that says what is wrong.
 */
export function parseNetworkList(text: string): NetworkList {
  const file = parse(z.looseObject({ plugins: z.array(pluginSchema).optional() }), json(text));
  const { name, cniVersion, cniVersions: others, disableCheck, disableGC } = parse(header, file);
  const plugins = file.plugins ?? [parse(pluginSchema, file)];
  if (plugins.length === 0) throw new RuntimeError("invalidArgument", "plugins: it lists none");
  return { name, cniVersion: newestKnown(cniVersion, others), disableCheck, disableGC, plugins };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (thrown) {
    throw new RuntimeError("invalidArgument", `it is not JSON: ${messageOf(thrown)}`, { cause: thrown });
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new RuntimeError("invalidArgument", wrong.join("; "));
}

/** `cniVersion`, or the newest of `cniVersions` that we speak (specification 1.1, section 1). */
function newestKnown(cniVersion: string | undefined, others: readonly string[]): CniVersion {
  const offered = [cniVersion ?? "", ...others];
  const newest = [...cniVersions].reverse().find((version) => offered.includes(version));
  if (newest !== undefined && isCniVersion(newest)) return newest;
  const said = cniVersion === undefined ? "is missing" : `${JSON.stringify(cniVersion)} is not supported`;
  throw new RuntimeError("invalidArgument", `cniVersion: ${said}`, { hint: `supported: ${cniVersions.join(", ")}` });
}
