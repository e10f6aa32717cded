/** Pulls through the registry client alone: no store, nothing unpacked. */
import { createHash } from "node:crypto";
import { createLogger } from "../../src/base/log.js";
import { parseManifest } from "../../src/image/content/manifest.js";
import type { RegistryAuth } from "../../src/image/image-store.js";
import { parseReference } from "../../src/image/reference/reference.js";
import { RegistryClient, type RegistryOptions } from "../../src/image/registry/registry-client.js";
import { registryOptions } from "./image-store.js";

const noAuth = { username: "", password: "", auth: "", identityToken: "", registryToken: "", serverAddress: "" };

/** Credentials of which only some members are set. */
export function authOf(members: Partial<RegistryAuth>): RegistryAuth {
  return { ...noAuth, ...members };
}

export interface PullOptions extends Partial<RegistryOptions> {
  readonly auth?: RegistryAuth;
  readonly signal?: AbortSignal;
  /** Runs between the manifest and the blobs. */
  readonly halfway?: () => Promise<void>;
}

/** The manifest's digest, once every blob has come whole. */
export async function pullFrom(reference: string, options: PullOptions = {}): Promise<string> {
  const { auth, halfway, signal = new AbortController().signal, ...more } = options;
  const client = new RegistryClient(registryOptions(more), createLogger("error"));
  try {
    const parsed = parseReference(reference, "docker.io");
    const repository = await client.open(parsed, auth);
    const served = await repository.manifest(parsed, signal);
    const manifest = parseManifest(served.bytes, served.mediaType);
    if (manifest.kind !== "manifest") throw new Error("an index came");
    await halfway?.();
    for (const blob of [manifest.config, ...manifest.layers]) {
      await repository.blob(blob, signal, async (bytes) => {
        const hash = createHash("sha256");
        for await (const chunk of bytes) hash.update(chunk);
        const actual = `sha256:${hash.digest("hex")}`;
        if (actual !== blob.digest) throw new Error(`${actual} came for ${blob.digest}`);
      });
    }
    return served.digest;
  } finally {
    await client.close();
  }
}

/** The message of the failure that a pull must end with. */
export async function pullFailure(reference: string, options: PullOptions = {}): Promise<string> {
  return await pullFrom(reference, options).then(
    () => {
      throw new Error("the pull has not failed as it should");
    },
    (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown)),
  );
}
