/** The key of one provider. It is asked for with each request, and kept by nobody. */
import * as z from "zod";
import type { LlmConfig } from "../../config/llm.js";
import type { Logger } from "../../base/log.js";
import { WatchedFile } from "./watched-file.js";

/** As it can stand in a header. */
const goodKey = /^[\x21-\x7e]{1,8192}$/;
const valuesOfFile = z.object({
  providers: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })),
});

export class ProviderKey {
  readonly #config: Pick<LlmConfig, "name" | "key">;
  readonly #file: WatchedFile | undefined;
  readonly #log: Logger;
  #told = "";

  constructor(config: Pick<LlmConfig, "name" | "key">, log: Logger) {
    this.#config = config;
    this.#log = log;
    this.#file = config.key === undefined ? undefined : new WatchedFile(config.key.file, log);
  }

  /** Without one the provider is asked as anybody may. */
  get isWanted(): boolean {
    return this.#file !== undefined;
  }

  /** Undefined: there is none now. `now`: also where the file was read just before. */
  async value(now = false): Promise<string | undefined> {
    const text = await this.#file?.text(now);
    if (text === undefined) return undefined;
    const value = this.#config.key?.isJson === true ? this.#inJson(text) : text.split("\n")[0]?.trim();
    if (value !== undefined && goodKey.test(value)) {
      this.#told = "";
      return value;
    }
    this.#tell("there is no key in its file");
    return undefined;
  }

  #inJson(text: string): string | undefined {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      this.#tell("its file is not JSON now"); // what the parser says may have a key in it
      return undefined;
    }
    const parsed = valuesOfFile.safeParse(json);
    return parsed.success ? parsed.data.providers.find(({ name }) => name === this.#config.name)?.value : undefined;
  }

  /** Once, until it is well again. */
  #tell(why: string): void {
    if (this.#told === why) return;
    this.#told = why;
    this.#log.warn({ llm: this.#config.name, file: this.#config.key?.file }, why);
  }
}
