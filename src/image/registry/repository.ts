/** One repository for one pull: its registry and the mirrors before it. */
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import type { Descriptor } from "../content/manifest.js";
import type { Reference } from "../reference/reference.js";
import { allFailed, BlobStream } from "./blob-stream.js";
import { can } from "./endpoint.js";
import { isUnreachable } from "./failure.js";
import type { Capability } from "./hosts-file.js";
import { askDigest, askManifest, type FetchedManifest } from "./manifest-question.js";
import type { RegistrySession } from "./session.js";

export class Repository {
  readonly #registry: string;
  readonly #sessions: readonly RegistrySession[];
  readonly #retryDelayMs: number;
  /** No connection came about: not asked again in this pull while there are others. */
  readonly #unreachable = new Set<RegistrySession>();

  /** `sessions` in the order in which they are asked; `registry` is the reference's host, for messages. */
  constructor(registry: string, sessions: readonly RegistrySession[], retryDelayMs: number) {
    this.#registry = registry;
    this.#sessions = sessions;
    this.#retryDelayMs = retryDelayMs;
  }

  /** `notFound` when there is none, and nothing else was wrong. */
  async manifest(reference: Reference, signal: AbortSignal): Promise<FetchedManifest> {
    if (reference.kind === "digest") {
      return await this.#first("pull", signal, (session, once) => askManifest(session, reference, once, signal));
    }
    const { host, repository } = reference;
    const found = await this.#first("resolve", signal, async (session, once) =>
      can(session.endpoint, "pull")
        ? await askManifest(session, reference, once, signal)
        : await askDigest(session, reference, once, signal),
    );
    if (typeof found !== "string") return found;
    return await this.manifest({ kind: "digest", host, repository, digest: found }, signal);
  }

  /** Gives the blob's bytes to `store`, which checks them; what either throws names the blob and the host. */
  async blob(
    blob: Descriptor,
    signal: AbortSignal,
    store: (bytes: AsyncIterable<Uint8Array>) => Promise<void>,
  ): Promise<void> {
    const sessions = this.#able("pull");
    const stream = new BlobStream({ sessions, blob, retryDelayMs: this.#retryDelayMs, signal });
    try {
      await store(stream.bytes());
    } catch (thrown) {
      const message = messageOf(thrown);
      const from = message.includes(stream.host) ? "" : ` from ${stream.host}`;
      throw new RuntimeError(codeOf(thrown), `download ${blob.digest}${from}: ${message}`, { cause: thrown });
    }
  }

  async #first<T>(
    capability: Capability,
    signal: AbortSignal,
    ask: (session: RegistrySession, once: boolean) => Promise<T>,
  ): Promise<T> {
    const failures: unknown[] = [];
    const sessions = this.#able(capability);
    for (const [position, session] of sessions.entries()) {
      try {
        return await ask(session, position + 1 < sessions.length);
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        if (isUnreachable(thrown)) this.#unreachable.add(session);
        failures.push(thrown);
      }
    }
    throw allFailed(failures);
  }

  #able(capability: Capability): RegistrySession[] {
    const able = this.#sessions.filter((session) => can(session.endpoint, capability));
    const reachable = able.filter((session) => !this.#unreachable.has(session));
    if (able.length === 0) {
      throw new RuntimeError("failedPrecondition", `no host of ${this.#registry} has the capability ${capability}`, {
        hint: "give it to one in the registry's hosts.toml",
      });
    }
    return reachable.length === 0 ? able : reachable;
  }
}
