/** The operations of the image service whose steps are made to fail. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { image } from "../cri-client.js";
import type { Daemon } from "../daemon.js";
import { eventually } from "../wait.js";
import type { Operation } from "./matrix.js";

/** Of an image that nothing else in the store shares anything with. */
export function pullImage(daemon: Daemon, reference: string): Operation<undefined> {
  return {
    prepare: () => Promise.resolve(undefined),
    request: async () => {
      if (await isHere(daemon, reference)) return "existed";
      const { imageRef } = await daemon.cri.call(image.pullImage, { image: spec(reference) });
      if (!(await isHere(daemon, imageRef))) throw new Error(`${imageRef} was pulled, and is not here`);
      return "made";
    },
    takeBack: () => removeWhole(daemon, reference),
    goesOn: false,
  };
}

/** A removal whose names are gone has happened, whatever of it is still on the disk. */
export function removeImage(daemon: Daemon, reference: string): Operation<undefined> {
  return {
    prepare: async () => {
      await daemon.cri.call(image.pullImage, { image: spec(reference) });
      return undefined;
    },
    request: async () => {
      await remove(daemon, reference);
      if (await isHere(daemon, reference)) throw new Error(`${reference} was removed, and is here`);
      return "made";
    },
    takeBack: () => removeWhole(daemon, reference),
    goesOn: true,
  };
}

async function remove(daemon: Daemon, reference: string): Promise<void> {
  await daemon.cri.call(image.removeImage, { image: spec(reference) });
}

/** And waits until it is off the disk, which comes after the answer. */
async function removeWhole(daemon: Daemon, reference: string): Promise<void> {
  await remove(daemon, reference);
  const trash = join(daemon.root, "images/trash");
  await eventually("the trash of images is empty", 10_000, async () => {
    const names = await readdir(trash).catch(() => []);
    return names.length === 0 || undefined;
  });
}

async function isHere(daemon: Daemon, reference: string): Promise<boolean> {
  const { image: found } = await daemon.cri.call(image.imageStatus, { image: spec(reference), verbose: false });
  return found !== undefined;
}

function spec(name: string) {
  return { image: name, annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" };
}
