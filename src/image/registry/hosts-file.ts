/**
 * hosts.toml: how a registry is reached, and which mirrors stand before it. The format is containerd's (its
 * docs/hosts.md; the reading follows core/remotes/docker/config/hosts.go of 2.4), except that what is wrong in a file
 * is an error here, where containerd goes on without the file.
 */
import { dirname, posix, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import * as z from "zod";
import { RuntimeError } from "../../base/errors.js";
import { durationMs } from "./duration.js";

const capabilities = ["pull", "resolve", "push"] as const;

export type Capability = (typeof capabilities)[number];

/** One host: a `[host."…"]` table, or the file's top level, which is about the registry itself. */
export interface HostSettings {
  /** API root without a slash at its end ("https://mirror.example/v2"); undefined: where the registry itself is. */
  readonly root: string | undefined;
  readonly capabilities: readonly Capability[];
  /** Absolute paths. */
  readonly caFiles: readonly string[];
  /** Absolute paths; one file for both holds certificate and key. */
  readonly clientPairs: readonly { readonly certFile: string; readonly keyFile: string }[];
  readonly skipVerify: boolean | undefined;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly dialTimeoutMs: number | undefined;
}

export interface HostsFile {
  /** In the order in which they are to be tried: mirrors as in the file, the registry itself at the end. */
  readonly hosts: readonly HostSettings[];
  /** Keys that mean nothing, dotted: a slip of the pen, or of a later containerd. */
  readonly unknownKeys: readonly string[];
}

const onePath = z.string().min(1);
const fields = {
  capabilities: z.array(
    z.string().toLowerCase().pipe(z.enum(capabilities, 'a list of "pull", "resolve", "push"')),
    'a list of "pull", "resolve", "push"',
  ),
  ca: z.union([onePath, z.array(onePath)], "a file's path, or a list of them"),
  client: z.union(
    [onePath, z.array(z.union([onePath, z.tuple([onePath, onePath])]))],
    "a file's path, or a list of paths or of [certificate, key] pairs",
  ),
  skip_verify: z.boolean("true or false"),
  override_path: z.boolean("true or false"),
  header: z.record(
    z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/),
    z.union([z.string(), z.array(z.string())]),
    "a table of strings or lists of strings",
  ),
  dial_timeout: z.string('a time as "5s" or "1m30s"').transform((text, context) => {
    const ms = durationMs(text);
    if (ms !== undefined && ms > 0) return ms;
    context.addIssue('a time as "5s" or "1m30s"');
    return z.NEVER;
  }),
};

const hostSchema = z.looseObject(fields).partial();
const fileSchema = hostSchema.extend({
  server: z.string("a URL").optional(),
  host: z.record(z.string(), hostSchema, 'tables named [host."https://…"]').optional(),
});

/** Relative paths are below the file's directory. `invalidArgument` names the file and the key. */
export function parseHostsFile(text: string, path: string): HostsFile {
  const checked = fileSchema.safeParse(parseToml(text, path));
  if (!checked.success) {
    const issue = checked.error.issues[0];
    throw wrong(path, keyText(issue?.path ?? []), issue?.message ?? "unreadable");
  }
  const { server = "", host = {}, ...own } = checked.data;
  const directory = dirname(path);
  const mirrors = Object.entries(host).map(([url, table]) => {
    const root = rootOf(url, table.override_path, path, keyText(["host", url]));
    return settingsOf(root, table, directory);
  });
  const root = server === "" ? undefined : rootOf(server, own.override_path, path, "server");
  return {
    hosts: [...mirrors, settingsOf(root, own, directory)],
    unknownKeys: [
      ...unknownOf(own, []),
      ...Object.entries(host).flatMap(([url, table]) => unknownOf(table, ["host", url])),
    ],
  };
}

/** A host about which nothing is said. */
export const plainHost: HostSettings = settingsOf(undefined, {}, "/");

function parseToml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    throw new RuntimeError("invalidArgument", `${path} is not TOML: ${thrown.message}`, { cause: thrown });
  }
}

function settingsOf(root: string | undefined, table: z.infer<typeof hostSchema>, directory: string): HostSettings {
  const headers = Object.entries(table.header ?? {}).map(([name, value]) => [name.toLowerCase(), listOf(value)]);
  const named = table.capabilities ?? [];
  return {
    root,
    capabilities: named.length === 0 ? capabilities : named,
    caFiles: listOf(table.ca).map((file) => resolve(directory, file)),
    clientPairs: listOf(table.client).map((pair) => {
      const [certFile, keyFile] = typeof pair === "string" ? [pair, pair] : pair;
      return { certFile: resolve(directory, certFile), keyFile: resolve(directory, keyFile) };
    }),
    skipVerify: table.skip_verify,
    headers: Object.fromEntries(headers) as Record<string, string[]>,
    dialTimeoutMs: table.dial_timeout,
  };
}

/** "mirror.example" is "https://mirror.example/v2"; with override_path the URL's path is the API's root as it stands. */
function rootOf(text: string, overridePath: boolean | undefined, path: string, key: string): string {
  let url: URL;
  try {
    url = new URL(text.includes("://") ? text : `https://${text}`);
  } catch (cause) {
    throw wrong(path, key, "an http:// or https:// URL", cause);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") throw wrong(path, key, "an http:// or https:// URL");
  const asked = posix.normalize(url.pathname).replace(/\/+$/, "");
  return url.origin + (overridePath === true || asked.endsWith("/v2") ? asked : `${asked}/v2`);
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return isList(value) ? value : [value];
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}

function unknownOf(table: object, path: readonly string[]): string[] {
  return Object.keys(table)
    .filter((key) => !(key in fields))
    .map((key) => keyText([...path, key]));
}

function keyText(path: readonly PropertyKey[]): string {
  return path.map((part) => (/^[A-Za-z0-9_-]+$/.test(String(part)) ? String(part) : `"${String(part)}"`)).join(".");
}

function wrong(path: string, key: string, allowed: string, cause?: unknown): RuntimeError {
  return new RuntimeError("invalidArgument", `${key} in ${path} is not allowed`, {
    hint: `allowed: ${allowed}`,
    cause,
  });
}
