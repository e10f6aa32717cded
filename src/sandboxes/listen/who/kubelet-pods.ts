/** kubelet's word on whose a pod is that this runtime does not run (docs/adr/0121). */
import { readFile } from "node:fs/promises";
import { request as plainRequest, type IncomingMessage } from "node:http";
import { request as tlsRequest, type RequestOptions } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import { monotonicMs } from "../../../base/clock.js";
import { messageOf, RuntimeError } from "../../../base/errors.js";
import { neverAborted } from "../../../base/signals.js";
import { stage } from "../../../base/stage.js";
import type { KubeletConfig } from "../../../config/sandboxes-listen.js";
import type { OwnerPod } from "../../core/caller.js";

/** A caller waits for its pod so long at most. */
const askLimitMs = 5_000;
/** Pods that nobody knows are asked for no more often, whoever comes from them. */
const pauseMs = 1_000;
/** Some hundred pods with all their volumes and environments. */
const longestListBytes = 64 * 1024 * 1024;

const listSchema = z.object({
  items: z
    .array(z.object({ metadata: z.object({ name: z.string(), namespace: z.string(), uid: z.string() }) }))
    .nullable(),
});

/**
 * The pods of the node by their uid, as kubelet lists them. A uid's namespace never changes: who is known is known for as
 * long as kubelet lists it, without being asked again.
 */
export class KubeletPods {
  readonly #config: KubeletConfig;
  #known: ReadonlyMap<string, OwnerPod> = new Map();
  #asking: Promise<void> | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(config: KubeletConfig) {
    this.#config = config;
  }

  /** Undefined: kubelet knows no such pod. `unavailable`: it has not said. */
  async byUid(uid: string): Promise<OwnerPod | undefined> {
    const known = this.#known.get(uid);
    if (known !== undefined) return known;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    await this.#asking;
    return this.#known.get(uid);
  }

  async #ask(): Promise<void> {
    await delay(Math.max(0, this.#askedAtMs + pauseMs - monotonicMs()));
    try {
      const text = await stage("ask kubelet for its pods", askLimitMs, neverAborted, (signal) =>
        listed(this.#config, signal),
      );
      const { items } = listSchema.parse(JSON.parse(text));
      this.#known = new Map((items ?? []).map(({ metadata }) => [metadata.uid, metadata]));
    } catch (cause) {
      throw new RuntimeError("unavailable", `kubelet did not say whose pod calls: ${messageOf(cause).slice(0, 300)}`, {
        hint: "look at sandboxes.kubelet and what goes with it",
        cause,
      });
    } finally {
      this.#askedAtMs = monotonicMs();
    }
  }
}

async function listed({ url, caFile, tokenFile }: KubeletConfig, signal: AbortSignal): Promise<string> {
  const token = tokenFile === undefined ? undefined : (await readFile(tokenFile, "utf8")).trim();
  const ca = caFile === undefined ? undefined : await readFile(caFile);
  const options: RequestOptions = {
    ...{ agent: false, signal },
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
    // A node's certificate names the node; by the loopback nobody else is to be reached.
    ...(ca === undefined ? {} : { ca, checkServerIdentity: () => undefined }),
  };
  return await new Promise<string>((resolve, reject) => {
    const take = (answer: IncomingMessage): void => {
      bodyOf(answer).then(resolve, reject);
    };
    const target = new URL("/pods", url);
    const sent = target.protocol === "https:" ? tlsRequest(target, options, take) : plainRequest(target, options, take);
    sent.once("error", reject);
    sent.end();
  });
}

async function bodyOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const body: AsyncIterable<unknown> = answer;
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > longestListBytes) throw new Error(`a list of more than ${String(longestListBytes)} bytes`);
    chunks.push(chunk);
  }
  if (answer.statusCode !== 200) throw new Error(`HTTP ${String(answer.statusCode)}`);
  return Buffer.concat(chunks).toString();
}
