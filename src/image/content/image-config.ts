/** The config of an image: OCI image spec, "config.md"; Docker's is the same in all that matters here. */
import { createHash } from "node:crypto";
import * as z from "zod";
import { RuntimeError, messageOf } from "../../base/errors.js";
import { digest, type Digest } from "../../base/ids.js";
import type { ImageConfig } from "../image-store.js";
import { checkConfigBounds } from "./config-bounds.js";

export interface ReadConfig {
  readonly config: ImageConfig;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly Digest[];
}

const strings = z.array(z.string()).nullish();

const configSchema = z.object({
  architecture: z.string().default(""),
  os: z.string().default("linux"),
  variant: z.string().optional(),
  config: z
    .object({
      User: z.string().nullish(),
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      WorkingDir: z.string().nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
      StopSignal: z.string().nullish(),
      Volumes: z.record(z.string(), z.unknown()).nullish(),
    })
    .nullish(),
  rootfs: z.object({ diff_ids: z.array(z.string().regex(/^sha256:[0-9a-f]{64}$/)).nullish() }).nullish(),
});

export function parseImageConfig(bytes: Uint8Array): ReadConfig {
  const json = parseJson(bytes);
  checkConfigBounds(json);
  const checked = configSchema.safeParse(json);
  if (!checked.success) {
    const issue = checked.error.issues[0];
    throw invalid(`is wrong at ${issue?.path.join(".") ?? "its top"}: ${issue?.message ?? "unreadable"}`);
  }
  const { data } = checked;
  const inner = data.config ?? {};
  const platform = [data.os, data.architecture, data.variant].filter((part) => part !== undefined && part !== "");
  return {
    diffIds: (data.rootfs?.diff_ids ?? []).map(digest),
    config: {
      entrypoint: inner.Entrypoint ?? [],
      cmd: inner.Cmd ?? [],
      env: inner.Env ?? [],
      workingDir: inner.WorkingDir ?? "",
      user: inner.User ?? "",
      stopSignal: inner.StopSignal ?? "",
      labels: inner.Labels ?? {},
      volumes: Object.keys(inner.Volumes ?? {}),
      platform: platform.join("/"),
    },
  };
}

/** OCI image spec, "Layer ChainID": of each layer with all below it, lowest first. */
export function chainIdsOf(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : sha256Of(`${below} ${diffId}`));
  }
  return chain;
}

export function sha256Of(content: string | Uint8Array): Digest {
  return digest(`sha256:${createHash("sha256").update(content).digest("hex")}`);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")) as unknown;
  } catch (cause) {
    throw new RuntimeError("internal", `the image config is not JSON: ${messageOf(cause).slice(0, 100)}`, { cause });
  }
}

function invalid(why: string): RuntimeError {
  return new RuntimeError("internal", `the image config ${why}`);
}
