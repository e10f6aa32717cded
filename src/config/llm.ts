/** What the configuration says of models: where they are, what opens them, who may ask, and how much. */
import * as z from "zod";
import { RuntimeError } from "../base/errors.js";
import { absolutePath, setting, type Setting } from "./setting.js";

export const llmKinds = ["anthropic", "openai", "gemini"] as const;
/** How it is spoken to; openai: whatever speaks as OpenAI does. */
export type LlmKind = (typeof llmKinds)[number];

const keyHeaders = ["x-api-key", "authorization", "api-key", "x-goog-api-key"] as const;
export type KeyHeader = (typeof keyHeaders)[number];

/** Of one Box, or of one tenant; 0 is no limit. */
export interface LlmLimits {
  readonly requestsAMinute: number;
  readonly tokensAMinute: number;
  readonly concurrent: number;
}

/** Where the key stands: alone in a file, or as `value` of its provider in an llm-config.json. The key itself is in no object. */
export interface KeySource {
  readonly file: string;
  readonly isJson: boolean;
}

export interface LlmConfig {
  /** The first part of its path in a Box, and its name in annotations, metrics and the log. */
  readonly name: string;
  readonly kind: LlmKind;
  /** As the kind's own clients have it for a base URL; without a slash at its end. */
  readonly upstream: string;
  /** Undefined: it wants none. */
  readonly key: KeySource | undefined;
  readonly keyHeader: KeyHeader;
  /** Patterns; empty: all. */
  readonly models: readonly string[];
  /** Patterns of namespaces and owners of tokens. */
  readonly tenants: readonly string[];
  /** Absolute path of more authorities; undefined: those of this machine alone. */
  readonly caFile: string | undefined;
  readonly maxBodyBytes: number;
  readonly box: LlmLimits;
  readonly tenant: LlmLimits;
}

/** A label, and a part of a path. */
export const llmName = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
const count = z.int().min(0).max(1_000_000_000);
const mostProviders = 32;

const limitsSchema = z.strictObject({
  requests_a_minute: count.optional(),
  tokens_a_minute: count.optional(),
  concurrent: count.optional(),
});

const providerShape = {
  name: z.string().regex(llmName, "is no name: up to 32 of a-z, 0-9 and - between them"),
  kind: z.enum(llmKinds),
  upstream: z.string().max(2048),
  value_file: z.string().regex(absolutePath, "is no absolute path").optional(),
  header: z.enum(keyHeaders).optional(),
  models: z.array(z.string().min(1).max(200)).max(1000).default([]),
  tenants: z.array(z.string().min(1).max(200)).max(1000).default(["*"]),
  ca_file: z.string().regex(absolutePath, "is no absolute path").optional(),
  plain: z.boolean().default(false),
  max_body_mib: z.int().min(1).max(64).default(32),
  box: limitsSchema.default({}),
  tenant: limitsSchema.default({}),
};

const providerSchema = z.strictObject(providerShape);
type Provider = z.infer<typeof providerSchema>;

/** The same in a Secret of its own, which may hold the keys, too. */
export const llmConfigSchema = z.strictObject({
  $schema: z.string().optional(),
  version: z.literal(1),
  providers: z.array(z.strictObject({ ...providerShape, value: z.string().max(8192).optional() })).max(mostProviders),
});

/** Where a Secret is mounted by those who mount one. */
export const usualLlmFile = "/etc/a3s/llm-config.json";

export const llmSettings = {
  llm: {
    ...setting<readonly Provider[]>(
      z.array(providerSchema).max(mostProviders),
      [],
      'tables named [[llm]], each with name (up to 32 of a-z, 0-9 and -), kind ("anthropic", "openai", "gemini"), upstream (a \
URL) and any of value_file (an absolute path), header ("x-api-key", "authorization", "api-key", "x-goog-api-key"), models and \
tenants (lists of patterns), ca_file, plain (true: a key may travel without TLS), max_body_mib (32), box and tenant (tables with \
any of requests_a_minute, tokens_a_minute and concurrent)',
      "Models that Boxes reach by the gateway, whose keys they never see. Take this line away when writing such a table.",
    ),
    secret: true, // who writes a key into it by mistake is not to read it in an error
  },
  llm_config: setting(
    z.union([z.literal(""), z.string().regex(absolutePath)]),
    usualLlmFile,
    'an absolute path, or "" for none',
    "The same as JSON, as a Secret has it: read where the file is there, and its keys again whenever it changes.",
  ),
};

/** What an unlimited Box could do to the others of its tenant, and to the daemon. */
const usualBox: LlmLimits = { requestsAMinute: 600, tokensAMinute: 0, concurrent: 32 };
const usualTenant: LlmLimits = { requestsAMinute: 0, tokensAMinute: 0, concurrent: 256 };
const usualHeader: Readonly<Record<LlmKind, KeyHeader>> = {
  anthropic: "x-api-key",
  openai: "authorization",
  gemini: "x-goog-api-key",
};

/** A file that was read, and is checked here. */
export interface LlmConfigFile {
  readonly path: string;
  readonly text: string;
}

type Read = <T>(name: keyof typeof llmSettings, setting: Setting<T>) => T;

/** Both forms together. Errors: `invalidArgument`, with the member and what may stand there; never with a value of a key. */
export function llmOf(read: Read, file: LlmConfigFile | undefined): readonly LlmConfig[] {
  const ofToml = read("llm", llmSettings.llm).map((one) => providerOf(one, fileKey(one.value_file), "llm"));
  const all = [...ofToml, ...(file === undefined ? [] : providersOfFile(file))];
  const seen = new Set<string>();
  for (const { name } of all) {
    if (seen.has(name)) throw new RuntimeError("invalidArgument", `two models' providers are called ${name}`);
    seen.add(name);
  }
  return all;
}

function providersOfFile({ path, text }: LlmConfigFile): LlmConfig[] {
  const parsed = llmConfigSchema.safeParse(jsonOf(path, text));
  if (!parsed.success) throw wrongFile(path, parsed.error.issues);
  return parsed.data.providers.map(({ value, ...one }) => {
    if (value !== undefined && one.value_file !== undefined) {
      throw new RuntimeError("invalidArgument", `${path}: ${one.name} has both value and value_file`, {
        hint: "leave one of them out",
      });
    }
    return providerOf(one, value === undefined ? fileKey(one.value_file) : { file: path, isJson: true }, path);
  });
}

function jsonOf(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // What the parser says shows the text around the place, which may be a key.
    throw new RuntimeError("invalidArgument", `${path} is not JSON`, { hint: "see docs/guide/models.md for its form" });
  }
}

function wrongFile(path: string, issues: readonly { readonly path: PropertyKey[]; readonly message: string }[]) {
  const [first] = issues;
  const member = first === undefined || first.path.length === 0 ? "it" : first.path.map(String).join(".");
  return new RuntimeError("invalidArgument", `${path}: ${member}: ${first?.message ?? "is not allowed"}`, {
    hint: "see docs/guide/models.md for its form",
  });
}

function fileKey(file: string | undefined): KeySource | undefined {
  return file === undefined ? undefined : { file, isJson: false };
}

function providerOf(one: Provider, key: KeySource | undefined, where: string): LlmConfig {
  return {
    name: one.name,
    kind: one.kind,
    upstream: upstreamOf(one, key !== undefined, where),
    key,
    keyHeader: one.header ?? usualHeader[one.kind],
    models: one.models,
    tenants: one.tenants,
    caFile: one.ca_file,
    maxBodyBytes: one.max_body_mib * 1024 * 1024,
    box: limitsOf(one.box, usualBox),
    tenant: limitsOf(one.tenant, usualTenant),
  };
}

function limitsOf(given: z.infer<typeof limitsSchema>, usual: LlmLimits): LlmLimits {
  return {
    requestsAMinute: given.requests_a_minute ?? usual.requestsAMinute,
    tokensAMinute: given.tokens_a_minute ?? usual.tokensAMinute,
    concurrent: given.concurrent ?? usual.concurrent,
  };
}

function upstreamOf({ name, kind, upstream, plain }: Provider, hasKey: boolean, where: string): string {
  const refuse = (why: string, hint: string): never => {
    throw new RuntimeError("invalidArgument", `upstream of ${name} in ${where} ${why}`, { hint });
  };
  const url = URL.canParse(upstream) ? new URL(upstream) : refuse("is no URL", 'such as "https://api.example.org"');
  if (url.protocol !== "https:" && url.protocol !== "http:") refuse("is neither https nor http", "write https://…");
  if (url.username !== "" || url.password !== "") refuse("has a login in it", "put the key into value_file");
  if (url.search !== "" || url.hash !== "") refuse("has more than a path", "leave out what begins with ? or #");
  const isLocal = ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname);
  if (url.protocol === "http:" && hasKey && !isLocal && !plain) {
    refuse(
      "has no TLS, and the key would travel in clear",
      "use https, or set plain = true where something else encrypts",
    );
  }
  const path = url.pathname.replace(/\/+$/, "");
  // OpenAI's own clients have the version in their base URL, and people forget it.
  return `${url.origin}${kind === "openai" && path === "" ? "/v1" : path}`;
}
