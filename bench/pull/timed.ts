/** Calls about images, with the time that each takes. */
import { monotonicMs } from "../../src/base/clock.js";
import { type CriClient, image } from "../../test/support/cri-client.js";

const limitMs = 600_000;

export async function pullMs(cri: CriClient, reference: string): Promise<number> {
  return await timed(() => cri.call(image.pullImage, { image: spec(reference) }, { limitMs }));
}

export async function removeMs(cri: CriClient, reference: string): Promise<number> {
  return await timed(() => cri.call(image.removeImage, { image: spec(reference) }, { limitMs }));
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = monotonicMs();
  await work();
  return monotonicMs() - startedMs;
}

function spec(name: string) {
  return { image: name, annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" };
}
