/** Manifests and indices as a registry or a layout gives them: checked once here, trusted inside. */
import * as z from "zod";
import { RuntimeError, messageOf } from "../../base/errors.js";
import { digest, type Digest } from "../../base/ids.js";
import * as types from "./media-types.js";

/** OCI image spec, "descriptor.md". */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

export interface LayerDescriptor extends Descriptor {
  readonly compression: types.Compression;
}

export interface Manifest {
  readonly kind: "manifest";
  readonly config: Descriptor;
  /** Lowest first. */
  readonly layers: readonly LayerDescriptor[];
}

export interface PlatformDescriptor extends Descriptor {
  /** "linux/amd64", "linux/arm/v7", or undefined where the index doesn't say. */
  readonly platform: string | undefined;
}

export interface ImageIndex {
  readonly kind: "index";
  readonly manifests: readonly PlatformDescriptor[];
}

/** Of what a registry is asked for, an index among them. Source: OCI distribution spec, "Pushing Manifests": 4 MB at least. */
export const maxManifestBytes = 4 * 1024 * 1024;
/** Of an image's own, which is kept and read at each start: 512 layers take 150 KiB. */
export const maxImageManifestBytes = 1024 * 1024;
const maxLayers = 512;
const maxPlatforms = 4096;

const descriptorSchema = z.object({
  mediaType: z.string().max(255),
  digest: z.string().max(200),
  size: z.int().nonnegative(),
});

const manifestSchema = z.object({
  artifactType: z.string().max(255).nullish(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(maxLayers).default([]),
});

const platformSchema = z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() });

const indexSchema = z.object({
  manifests: z.array(descriptorSchema.extend({ platform: platformSchema.nullish() })).max(maxPlatforms),
});

const kindSchema = z.object({
  mediaType: z.string().optional(),
  schemaVersion: z.unknown().optional(),
  manifests: z.unknown().optional(),
  layers: z.unknown().optional(),
  config: z.unknown().optional(),
  fsLayers: z.unknown().optional(),
});

/**
 * Reads a manifest or an index. `mediaType` is what the sender called it; a sender that has no word of the registry's
 * vocabulary for it ("application/json") is not believed, then the content decides.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string): Manifest | ImageIndex {
  const json = parseJson(bytes);
  const type = manifestType(json, mediaType);
  if (types.isIndexType(type)) return readIndex(json);
  return readManifest(json);
}

/** The type under which `parseManifest` reads these bytes. */
export function manifestTypeOf(bytes: Uint8Array, mediaType: string): string {
  return manifestType(parseJson(bytes), mediaType);
}

function manifestType(json: unknown, mediaType: string): string {
  if (types.isIndexType(mediaType) || types.isManifestType(mediaType)) return mediaType;
  const kind = kindSchema.safeParse(json);
  if (!kind.success) throw invalid("is not a JSON object");
  const { data } = kind;
  if (data.fsLayers !== undefined || data.schemaVersion === 1) {
    throw new RuntimeError("unimplemented", "image manifest of schema version 1", {
      hint: "push the image again with a tool of this decade",
    });
  }
  const own = data.mediaType ?? "";
  if (types.isIndexType(own) || types.isManifestType(own)) return own;
  if (Array.isArray(data.manifests)) return types.ociIndex;
  if (data.config !== undefined) return types.ociManifest;
  throw invalid(`has the unknown type "${(own === "" ? mediaType : own).slice(0, 120)}"`);
}

/** The manifest for this machine. Order in the index decides between several. */
export function choosePlatform(index: ImageIndex, platform: string): PlatformDescriptor {
  const manifests = index.manifests.filter((entry) => types.isIndexType(entry.mediaType) || isImage(entry.mediaType));
  const chosen =
    manifests.find((entry) => entry.platform === platform) ??
    manifests.find((entry) => entry.platform?.startsWith(`${platform}/`)) ??
    manifests.find((entry) => entry.platform === undefined);
  if (chosen !== undefined) return chosen;
  const offered = [...new Set(manifests.map((entry) => entry.platform ?? "unnamed"))].slice(0, 20).join(", ");
  throw new RuntimeError("notFound", `the image has no manifest for ${platform}, only for: ${offered || "nothing"}`, {
    hint: "choose an image built for this machine's architecture",
  });
}

/** "linux/amd64" on this machine: the guest is Linux on the host's processor. */
export function hostPlatform(): string {
  const architectures: Partial<Record<NodeJS.Architecture, string>> = { x64: "amd64", arm64: "arm64" };
  return `linux/${architectures[process.arch] ?? process.arch}`;
}

function isImage(mediaType: string): boolean {
  return types.isManifestType(mediaType);
}

function readIndex(json: unknown): ImageIndex {
  const { manifests } = check(indexSchema, json);
  return {
    kind: "index",
    manifests: manifests.map((entry) => ({ ...readDescriptor(entry), platform: platformText(entry.platform) })),
  };
}

function readManifest(json: unknown): Manifest {
  const { artifactType, config, layers } = check(manifestSchema, json);
  if (isArtifact(config, layers)) throw artifact(artifactType ?? config.mediaType);
  return {
    kind: "manifest",
    config: readDescriptor(config),
    layers: layers.map((layer) => ({ ...readDescriptor(layer), compression: compressionOf(layer.mediaType) })),
  };
}

/**
 * OCI image spec, "Guidelines for Artifact Usage": a config that is none of an image's, and often empty. One with an
 * image's layers and a config of a type of its own is read as an image: the content decides then.
 */
function isArtifact(config: RawDescriptor, layers: readonly RawDescriptor[]): boolean {
  if (config.mediaType === types.ociEmpty) return true;
  if (types.isConfigType(config.mediaType)) return false;
  return layers.some(
    ({ mediaType }) => types.layerCompression(mediaType) === undefined && !types.isForeignLayer(mediaType),
  );
}

function artifact(type: string): RuntimeError {
  return new RuntimeError("unimplemented", `an OCI artifact of the type "${shown(type)}" is not an image`, {
    hint: "images alone can be run or mounted as volumes: pack its files into an image's layer",
  });
}

function compressionOf(mediaType: string): types.Compression {
  if (types.isForeignLayer(mediaType)) {
    throw new RuntimeError("unimplemented", `a layer of type ${mediaType} lies outside its registry`, {
      hint: "foreign layers are refused; rebuild the image on a base that may be distributed",
    });
  }
  const compression = types.layerCompression(mediaType);
  if (compression !== undefined) return compression;
  throw new RuntimeError("unimplemented", `unknown layer type "${shown(mediaType)}"`, {
    hint: "this is not a container image, or it is packed in a way that is not supported",
  });
}

type RawDescriptor = z.infer<typeof descriptorSchema>;

function readDescriptor(raw: RawDescriptor): Descriptor {
  if (!/^sha256:[0-9a-f]{64}$/.test(raw.digest))
    throw invalid(`names "${raw.digest.slice(0, 100)}", not a sha256 digest`);
  return { mediaType: raw.mediaType, digest: digest(raw.digest), size: raw.size };
}

function platformText(raw: z.infer<typeof platformSchema> | null | undefined): string | undefined {
  if (raw === null || raw === undefined || raw.os === "" || raw.architecture === "") return undefined;
  // amd64 has the variants v1 to v4; v1 is every machine (OCI image index, "platform variants").
  const plain =
    raw.variant === undefined || raw.variant === "" || (raw.architecture === "amd64" && raw.variant === "v1");
  return plain ? `${raw.os}/${raw.architecture}` : `${raw.os}/${raw.architecture}/${raw.variant ?? ""}`;
}

function check<T>(schema: z.ZodType<T>, json: unknown): T {
  const checked = schema.safeParse(json);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0];
  throw invalid(`is wrong at ${issue?.path.join(".") ?? "its top"}: ${issue?.message ?? "unreadable"}`);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")) as unknown;
  } catch (cause) {
    throw new RuntimeError("internal", `the image manifest is not JSON: ${messageOf(cause).slice(0, 100)}`, { cause });
  }
}

function shown(type: string): string {
  return type.slice(0, 120);
}

function invalid(why: string): RuntimeError {
  return new RuntimeError("internal", `the image manifest ${why}`);
}
