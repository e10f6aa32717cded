/**
 * Image references: "busybox", "registry.example:5000/team/app:1.2", "app@sha256:…", "app:1.2@sha256:…".
 * Source of the grammar: distribution/reference (the Docker reference format), which kubelet and containerd follow.
 */
import { digest, type Digest } from "../../base/ids.js";
import { RuntimeError } from "../../base/errors.js";

/** A reference in its full form: exactly one of tag and digest (a digest beside a tag wins, as in containerd). */
export type Reference = TagReference | DigestReference;

interface TagReference extends Name {
  readonly kind: "tag";
  readonly tag: string;
}

interface DigestReference extends Name {
  readonly kind: "digest";
  readonly digest: Digest;
}

export interface Name {
  /** "docker.io", "registry.example:5000", "[::1]:5000". */
  readonly host: string;
  /** "library/busybox": the path at the registry. */
  readonly repository: string;
}

const maxNameLength = 255;
const hostLabel = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const hostPattern = new RegExp(`^(?:${hostLabel}(?:\\.${hostLabel})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?$`);
const pathPart = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const pathPattern = new RegExp(`^${pathPart}(?:/${pathPart})*$`);
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** The registry that a name without a host means, where the config says nothing else. */
export const dockerHub = "docker.io";

/** Reads a reference and completes it: default registry, "library/" on Docker Hub, tag "latest". */
export function parseReference(raw: string, defaultRegistry: string): Reference {
  const at = raw.indexOf("@");
  const beforeDigest = at < 0 ? raw : raw.slice(0, at);
  const { path, tag } = splitTag(beforeDigest);
  if (tag !== undefined && !tagPattern.test(tag)) throw malformed(raw, `"${shown(tag)}" is not a tag`);
  const name = parseName(raw, path, defaultRegistry);
  if (at >= 0) return { kind: "digest", ...name, digest: parseDigest(raw, raw.slice(at + 1)) };
  return { kind: "tag", ...name, tag: tag ?? "latest" };
}

/** "docker.io/library/busybox:latest" or "docker.io/library/busybox@sha256:…". */
export function formatReference(reference: Reference): string {
  const name = formatName(reference);
  return reference.kind === "tag" ? `${name}:${reference.tag}` : `${name}@${reference.digest}`;
}

export function formatName(name: Name): string {
  return `${name.host}/${name.repository}`;
}

/** A tag's colon is the last one, and after the last slash: the one of a port is before it. */
function splitTag(text: string): { path: string; tag: string | undefined } {
  const colon = text.lastIndexOf(":");
  if (colon <= text.lastIndexOf("/")) return { path: text, tag: undefined };
  return { path: text.slice(0, colon), tag: text.slice(colon + 1) };
}

function parseName(raw: string, path: string, defaultRegistry: string): Name {
  const slash = path.indexOf("/");
  const first = path.slice(0, Math.max(slash, 0));
  const named = slash > 0 && isHost(first);
  const host = canonicalHost(named ? first : defaultRegistry);
  let repository = named ? path.slice(slash + 1) : path;
  if (host === dockerHub && !repository.includes("/")) repository = `library/${repository}`;
  if (!hostPattern.test(host)) throw malformed(raw, `"${shown(host)}" is not a registry host`);
  if (!pathPattern.test(repository)) throw malformed(raw, `"${shown(repository)}" is not a repository name`);
  if (host.length + 1 + repository.length > maxNameLength) {
    throw malformed(raw, `the name has more than ${maxNameLength} characters`);
  }
  return { host, repository };
}

/** The first part is a host when it could not be a path: a dot, a port, a capital, or "localhost". */
function isHost(first: string): boolean {
  return /[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first;
}

function canonicalHost(host: string): string {
  return host === "index.docker.io" ? dockerHub : host;
}

function parseDigest(raw: string, text: string): Digest {
  if (!/^sha256:[0-9a-f]{64}$/.test(text)) throw malformed(raw, `"${shown(text)}" is not a sha256 digest`);
  return digest(text);
}

function malformed(raw: string, why: string): RuntimeError {
  return new RuntimeError("invalidArgument", `image reference "${shown(raw)}": ${why}`, {
    hint: "write it as [HOST[:PORT]/]NAME[:TAG] or [HOST[:PORT]/]NAME@sha256:DIGEST, names in lower case",
  });
}

function shown(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
