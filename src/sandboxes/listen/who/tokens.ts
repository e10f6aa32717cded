/** Who calls by TCP: the owner of a token, whose file may change at any time. */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { messageOf } from "../../../base/errors.js";
import type { Logger } from "../../../base/log.js";
import { monotonicMs } from "../../../base/clock.js";
import type { TokenConfig } from "../../../config/sandboxes-listen.js";
import type { Caller } from "../../core/caller.js";

/** Files are looked at again after that. */
const freshMs = 1000;
/** Shorter ones can be guessed. */
const shortestToken = 16;
const longestToken = 4096;

interface KnownToken {
  readonly owner: string;
  readonly config: TokenConfig;
  /** Of file system, inode, size and time: as it was read. */
  version: string;
  /** undefined: its file has none now. */
  hash: Buffer | undefined;
}

export class Tokens {
  readonly #tokens: KnownToken[];
  readonly #log: Logger;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(tokens: Readonly<Record<string, TokenConfig>>, log: Logger) {
    this.#log = log;
    this.#tokens = Object.entries(tokens).map(([owner, config]) => ({ owner, config, version: "", hash: undefined }));
  }

  get areThere(): boolean {
    return this.#tokens.length > 0;
  }

  /** Undefined: it is nobody's. Takes the same time whosever it is. */
  async ownerOf(token: string): Promise<Caller | undefined> {
    await this.#look();
    const hash = hashOf(token);
    let found: KnownToken | undefined;
    for (const known of this.#tokens) {
      if (known.hash !== undefined && timingSafeEqual(known.hash, hash)) found = known;
    }
    return found === undefined ? undefined : callerOf(found);
  }

  /** By the common name of a certificate that one of our authorities vouches for. */
  certified(commonName: string): Caller | undefined {
    const found = this.#tokens.find(({ owner }) => owner === commonName);
    return found === undefined ? undefined : callerOf(found);
  }

  /** One look at a time, however many ask. */
  async #look(): Promise<void> {
    if (monotonicMs() - this.#lookedAtMs < freshMs) return;
    this.#looking ??= Promise.all(this.#tokens.map((known) => this.#read(known))).then(() => {
      this.#lookedAtMs = monotonicMs();
      this.#looking = undefined;
    });
    await this.#looking;
  }

  /** A bad one is told of once: its version stays as it is read. */
  #take(known: KnownToken, text: string, from: { readonly file: string } | { readonly variable: string }): void {
    const token = text.trim();
    const isGood = token.length >= shortestToken && token.length <= longestToken;
    if (!isGood && known.version !== "bad") {
      this.#log.warn({ owner: known.owner, ...from }, "no token of 16 to 4096 characters in its file or variable");
    }
    known.hash = isGood ? hashOf(token) : undefined;
    known.version = isGood ? "good" : "bad";
  }

  async #read(known: KnownToken): Promise<void> {
    const { file, variable } = known.config;
    if (variable !== undefined) {
      this.#take(known, process.env[variable] ?? "", { variable });
      return;
    }
    if (file === undefined) return;
    try {
      const { dev, ino, size, mtimeMs, ctimeMs } = await stat(file);
      const version = [dev, ino, size, mtimeMs, ctimeMs].join(" ");
      if (version === known.version) return;
      this.#take(known, (await readFile(file, "utf8")).split("\n")[0] ?? "", { file });
      known.version = version;
    } catch (thrown) {
      // A token whose file is gone is no token any more.
      if (known.hash !== undefined || known.version !== "unreadable") {
        this.#log.warn({ owner: known.owner, file, err: messageOf(thrown) }, "can't read a token");
      }
      known.hash = undefined;
      known.version = "unreadable";
    }
  }
}

function callerOf({ owner, config }: KnownToken): Caller {
  return { tenant: config.tenant, name: `token ${owner}` };
}

/** Of one length: nothing is told by how long a comparison takes. */
function hashOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** What a request brings as a token of ours: `Authorization: Bearer`, or E2B's `X-API-Key`. */
export function shownToken(authorization: string | undefined, apiKey: string | undefined): string | undefined {
  const bearer = /^bearer +([^\s]+)$/i.exec(authorization ?? "")?.[1];
  const token = bearer ?? apiKey;
  return token === undefined || token === "" || token.length > longestToken ? undefined : token;
}
