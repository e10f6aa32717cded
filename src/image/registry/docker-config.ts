/** docker's config.json, as `docker login` and its kin write it. Source: docker/cli cli/config/configfile. */
import { readFile } from "node:fs/promises";
import * as z from "zod";
import { isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import { dockerHub } from "../reference/reference.js";
import { askHelper } from "./credential-helper.js";
import { anonymous, credentialsOf, type Credentials } from "./credentials.js";
import { registryName } from "./endpoint.js";
import { hostOf } from "./server-address.js";

const text = z.string().default("");
const entrySchema = z.object({
  username: text,
  password: text,
  auth: text,
  identitytoken: text,
  registrytoken: text,
});
const schema = z.object({
  auths: z.record(z.string(), entrySchema).default({}),
  credHelpers: z.record(z.string(), z.string()).default({}),
  credsStore: text,
});

export interface DockerConfig {
  credentials(host: string, repository: string, signal: AbortSignal): Promise<Credentials>;
}

/** One that is not there has no credentials. `invalidArgument` names the file and the key, never a value. */
export async function readDockerConfig(path: string): Promise<DockerConfig> {
  let raw: string;
  try {
    raw = await readFile(path, "utf8");
  } catch (cause) {
    if (isNotFound(cause)) return parseDockerConfig("{}", path);
    throw new RuntimeError("invalidArgument", `${path} can't be read: ${messageOf(cause)}`, { cause });
  }
  return parseDockerConfig(raw, path);
}

export function parseDockerConfig(raw: string, path: string): DockerConfig {
  const { auths, credHelpers, credsStore } = checked(raw, path);
  return {
    credentials: async (host, repository, signal) => {
      const helper = valueFor(credHelpers, host, "") ?? credsStore;
      if (helper !== "") {
        const answer = await askHelper(helper, helperAddress(host), signal);
        if (answer !== undefined) return answer;
      }
      const entry = valueFor(auths, host, repository);
      if (entry === undefined) return anonymous;
      const { identitytoken, registrytoken, ...login } = entry;
      // docker writes an identity token beside an auth whose password is empty: the token is what counts.
      if (identitytoken !== "") return { kind: "identity", token: identitytoken };
      return credentialsOf({ ...login, identityToken: "", registryToken: registrytoken });
    },
  };
}

/** The longest key that names the host, or the host and the beginning of the repository ("quay.example/team"). */
function valueFor<T>(table: Readonly<Record<string, T>>, host: string, repository: string): T | undefined {
  const fitting = Object.entries(table)
    .map(([key, value]) => ({ ...hostOf(key), value }))
    .filter((entry) => registryName(entry.host) === registryName(host))
    .filter(({ path }) => path === "" || `${repository}/`.startsWith(`${path}/`));
  return fitting.sort((a, b) => b.path.length - a.path.length)[0]?.value;
}

/** Docker Hub's key in every helper. */
function helperAddress(host: string): string {
  return registryName(host) === dockerHub ? "https://index.docker.io/v1/" : host;
}

function checked(raw: string, path: string): z.infer<typeof schema> {
  let json: unknown;
  try {
    json = JSON.parse(raw);
  } catch {
    // The parser's own words quote what is around: it may be a password.
    throw new RuntimeError("invalidArgument", `${path} is not JSON`, { hint: "it must be a docker config.json" });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new RuntimeError("invalidArgument", `${path} is wrong at ${issue?.path.join(".") ?? "its top"}`, {
    hint: "it must be a docker config.json",
  });
}
