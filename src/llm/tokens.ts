/** What a Box has in the place of a key. It opens nothing but the gateway, and that only from its own Box. */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isNotFound } from "../base/errors.js";
import { writeFileAtomic } from "../base/record-file.js";

const fileName = "llm-token-secret";
const secretBytes = 32;
const prefix = "a3s-box-";

/** Made from the Box's id and a secret of this node: nothing of it is kept, and a restart changes none. */
export class BoxTokens {
  readonly #secret: Buffer;

  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  /** The secret is made where there is none. */
  static async open(root: string): Promise<BoxTokens> {
    const path = join(root, fileName);
    const secret = await readFile(path).catch((thrown: unknown) => {
      if (isNotFound(thrown)) return undefined;
      throw thrown;
    });
    if (secret?.length === secretBytes) return new BoxTokens(secret);
    const made = randomBytes(secretBytes);
    await writeFileAtomic(path, made);
    return new BoxTokens(made);
  }

  of(boxId: string): string {
    return prefix + createHmac("sha256", this.#secret).update(`llm ${boxId}`).digest("base64url");
  }

  isOf(boxId: string, shown: string): boolean {
    const [own, other] = [Buffer.from(this.of(boxId)), Buffer.from(shown)];
    return own.length === other.length && timingSafeEqual(own, other);
  }
}
