/** What is to be seen in kubelet's directory of device plugins. */
import { watch } from "node:fs";
import { join } from "node:path";
import { isThere } from "../base/is-there.js";
import { orAborted } from "../base/or-aborted.js";
import { anyOf } from "../base/signals.js";
import { someoneAnswers } from "../base/unix-socket.js";
import { kubeletSocket, kubeVirtSocket } from "./resource.js";
import { identityOf } from "./serve-plugin.js";

export interface Seen {
  /** The directory is there. */
  readonly directory: boolean;
  /** Of the socket of kubelet, another after each start of it; undefined where there is none. */
  readonly kubelet: string | undefined;
  /** KubeVirt's plugin listens. */
  readonly kubeVirt: boolean;
}

/** A socket whose queue is full and is not taken from belongs to somebody who is there. */
const answerMs = 5000;

export async function lookAround(directory: string, signal: AbortSignal): Promise<Seen> {
  const limited = anyOf(signal, AbortSignal.timeout(answerMs));
  const kubeVirt = await orAborted(someoneAnswers(join(directory, kubeVirtSocket)), limited).catch(() => true);
  return { directory: await isThere(directory), kubelet: await identityOf(join(directory, kubeletSocket)), kubeVirt };
}

/** Resolves when something changes there, when it is woken, or when the time has passed; rejects when the signal is aborted. */
export async function changed(directory: string, ms: number, wake: AbortSignal, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let watcher: ReturnType<typeof watch> | undefined;
  const something = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
    wake.addEventListener(
      "abort",
      () => {
        resolve();
      },
      { once: true },
    );
    if (wake.aborted) resolve();
    try {
      watcher = watch(directory, { persistent: false }, () => {
        resolve();
      });
      watcher.on("error", () => undefined); // the directory has gone: the time is left
    } catch {
      // It is not there yet: the time is left.
    }
  });
  try {
    await orAborted(something, signal);
  } finally {
    clearTimeout(timer);
    watcher?.close();
  }
}
