/**
 * Keeps a store as the API server has it: lists, then watches from there. Any end of a watch but one that says that its version is
 * too old goes on where it was, so no event is lost while the server restarts; a connection that nobody answers is given up
 * after an idle limit, which bookmarks keep a quiet one within.
 */
import { StringDecoder } from "node:string_decoder";
import type { Log } from "../runtime/log.js";
import type { KubeClient } from "./client.js";
import { isReason, KubeError, messageOf, refusalOf } from "./error.js";
import { isObject, listAt, numberAt, objectAt, parseObject, textAt, type JsonObject } from "./json.js";
import { pathOf, type Kind } from "./kinds.js";
import { hasEnded, sleep, withLimit } from "./limit.js";
import type { Store } from "./store.js";

const pageSize = 500;
/** The server ends a watch after so long; the half that is drawn keeps many from coming again at once. */
const watchSeconds = 300;
const longestLine = 8 << 20;
const shortestPauseMs = 250;
const longestPauseMs = 15_000;
const shortestWatchMs = 1000;

export interface ListWatchOptions {
  readonly client: KubeClient;
  readonly kind: Kind;
  readonly store: Store;
  /** `labelSelector`, say. */
  readonly query?: Readonly<Record<string, string>>;
  /** Without a byte for so long a watch is dead; longer than the minute between bookmarks. */
  readonly idleMs: number;
  readonly log: Log;
  /** Told of each watch that is begun again, and why. */
  readonly onRestart: (why: string) => void;
}

export class ListWatch {
  readonly #options: ListWatchOptions;
  #version = "";
  #pauseMs = shortestPauseMs;

  constructor(options: ListWatchOptions) {
    this.#options = options;
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#version === "") await this.#list(signal);
        const begunMs = performance.now();
        await this.#watch(signal);
        // A server that ends each watch at once would be asked without an end.
        if (performance.now() - begunMs < shortestWatchMs) await sleep(shortestWatchMs, signal);
      } catch (thrown) {
        if (hasEnded(signal)) return;
        if (isReason(thrown, "Expired") || isReason(thrown, "Gone")) this.#version = "";
        const why = thrown instanceof KubeError ? thrown.reason : "Broken";
        this.#options.onRestart(why);
        this.#options.log.info("a watch is begun again", {
          kind: this.#options.kind.kind,
          why,
          error: messageOf(thrown),
        });
        await sleep(this.#pauseMs * (0.5 + Math.random()), signal);
        this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, kind, query, store } = this.#options;
    const objects: JsonObject[] = [];
    let more = "";
    let version = "";
    do {
      const page: Record<string, string> = { ...query, limit: String(pageSize) };
      if (more !== "") page["continue"] = more;
      const answer = await client.ask("GET", pathOf(kind), { query: page, signal });
      // Elements of a list do not say what they are.
      const { apiVersion, kind: kindName } = kind;
      objects.push(
        ...listAt(answer, "items")
          .filter(isObject)
          .map((item) => ({ ...item, apiVersion, kind: kindName })),
      );
      more = textAt(answer, "metadata", "continue") ?? "";
      version = textAt(answer, "metadata", "resourceVersion") ?? "";
    } while (more !== "");
    store.replace(objects);
    // Not before: a list that breaks off between two pages is begun anew, and not watched from.
    this.#version = version;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, kind, query, idleMs } = this.#options;
    const seconds = Math.ceil(watchSeconds * (1 + Math.random()));
    const asked = {
      query: {
        ...query,
        ...{ watch: "true", allowWatchBookmarks: "true", resourceVersion: this.#version },
        timeoutSeconds: String(seconds),
      },
    };
    await withLimit((seconds + 60) * 1000, [signal], async (within) => {
      const controller = new AbortController();
      const end = (): void => {
        controller.abort();
      };
      within.addEventListener("abort", end);
      if (within.aborted) end();
      let idle = false;
      const isIdle = (): boolean => idle;
      const timer = setTimeout(() => {
        idle = true;
        end();
      }, idleMs);
      try {
        const answer = await client.open("GET", pathOf(kind), asked, controller.signal);
        let text = "";
        const decoder = new StringDecoder("utf8");
        for await (const chunk of answer) {
          timer.refresh();
          if (!Buffer.isBuffer(chunk)) throw new TypeError("bytes were expected");
          text += decoder.write(chunk);
          if (text.length > longestLine) throw new KubeError(0, "TooLarge", "an event is too large");
          if (answer.statusCode !== 200) continue;
          this.#pauseMs = shortestPauseMs;
          const lines = text.split("\n");
          text = lines.pop() ?? "";
          for (const line of lines) if (line !== "") this.#take(parseObject(line));
        }
        const status = answer.statusCode ?? 0;
        if (status !== 200) throw refusalOf(status, `watch ${kind.plural}`, text);
      } catch (thrown) {
        if (isIdle()) client.dropIdle();
        if (isIdle()) throw new KubeError(0, "Idle", `nothing was heard for ${String(idleMs)} ms`, thrown);
        throw thrown;
      } finally {
        clearTimeout(timer);
        within.removeEventListener("abort", end);
      }
    });
  }

  #take(event: JsonObject): void {
    const object = objectAt(event, "object") ?? {};
    const type = textAt(event, "type");
    if (type === "ERROR") {
      const reason = numberAt(object, "code") === 410 ? "Expired" : (textAt(object, "reason") ?? "Unknown");
      throw new KubeError(numberAt(object, "code") ?? 0, reason, textAt(object, "message") ?? "the watch has failed");
    }
    if (type === "DELETED") this.#options.store.delete(object);
    else if (type !== "BOOKMARK") this.#options.store.set(object);
    this.#version = textAt(object, "metadata", "resourceVersion") ?? this.#version;
  }
}
