import { randomBytes } from "node:crypto";
import { RuntimeError } from "./errors.js";

declare const brand: unique symbol;
/** A string that has passed its check; one kind can't be handed over for another. */
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** 64 lower-case hex digits. It is minted before the Box exists, and whatever is a Box's alone is named or made by it. */
export type BoxId = Brand<string, "BoxId">;
/** CRI PodSandbox.id: a pod has the id of its Box. */
export type PodId = BoxId;
/** CRI Container.id: 64 lower-case hex digits. */
export type ContainerId = Brand<string, "ContainerId">;
/** OCI digest, `sha256:` and 64 lower-case hex digits (OCI image spec, descriptor). */
export type Digest = Brand<string, "Digest">;

const idPattern = /^[0-9a-f]{64}$/;

export function newBoxId(): BoxId {
  return randomBytes(32).toString("hex") as BoxId;
}

export function newContainerId(): ContainerId {
  return randomBytes(32).toString("hex") as ContainerId;
}

export function boxId(raw: string): BoxId {
  if (!idPattern.test(raw)) throw new RuntimeError("invalidArgument", `"${raw.slice(0, 80)}" is not the id of a Box`);
  return raw as BoxId;
}

export function containerId(raw: string): ContainerId {
  if (!idPattern.test(raw)) throw new RuntimeError("invalidArgument", `"${raw.slice(0, 80)}" is not a container id`);
  return raw as ContainerId;
}

export function digest(raw: string): Digest {
  if (!/^sha256:[0-9a-f]{64}$/.test(raw)) {
    throw new RuntimeError("invalidArgument", `"${raw.slice(0, 100)}" is not a sha256 digest`);
  }
  return raw as Digest;
}

/** The hex part of a digest: a file name in `blobs/sha256`. */
export function digestHex(of: Digest): string {
  return of.slice("sha256:".length);
}

/** First twelve digits, for messages and names that people read. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}
