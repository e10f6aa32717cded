/** Which image a text means. Pure. */
import { RuntimeError } from "../../base/errors.js";
import type { CatalogEntry, CatalogImage, Known } from "../content/catalog.js";
import { formatName, formatReference, parseReference, type Reference } from "../reference/reference.js";

/** By id (whole, or a prefix of 12 digits or more that fits one image), name and tag, name and digest. */
export function findImage(known: Known, reference: string, defaultRegistry: string): CatalogImage | undefined {
  const hex = reference.replace(/^sha256:/, "");
  if (/^[0-9a-f]{64}$/.test(hex)) return [...known.images.values()].find(({ image }) => image.id === `sha256:${hex}`);
  const named = findNamed(known, reference, defaultRegistry);
  if (named !== undefined || !/^[0-9a-f]{12,63}$/.test(hex)) return named;
  const fitting = [...known.images.values()].filter(({ image }) => image.id.startsWith(`sha256:${hex}`));
  return fitting.length === 1 ? fitting[0] : undefined;
}

function findNamed(known: Known, text: string, defaultRegistry: string): CatalogImage | undefined {
  const reference = tryParse(text, defaultRegistry);
  if (reference === undefined) return undefined;
  const entry = known.entries.find((candidate) => means(reference, candidate));
  return entry?.content === undefined ? undefined : known.images.get(entry.content.id);
}

function means(reference: Reference, { entry, content }: CatalogEntry): boolean {
  if (content === undefined || entry.name === undefined) return false;
  if (entry.name === formatReference(reference)) return true;
  // A digest may also be that of the platform's manifest, or of the index of a name that was pulled by tag.
  if (reference.kind === "tag" || repositoryOf(entry.name) !== formatName(reference)) return false;
  return entry.servedDigest === reference.digest || content.manifestDigest === reference.digest;
}

function repositoryOf(name: string): string {
  const plain = name.split("@")[0] ?? name;
  const colon = plain.lastIndexOf(":");
  return colon > plain.lastIndexOf("/") ? plain.slice(0, colon) : plain;
}

function tryParse(text: string, defaultRegistry: string): Reference | undefined {
  try {
    return parseReference(text, defaultRegistry);
  } catch (thrown) {
    if (thrown instanceof RuntimeError) return undefined;
    throw thrown;
  }
}

/** True for an entry of that name whose content is lost or refused. */
export function isUnreadable({ entry, content }: CatalogEntry, text: string, defaultRegistry: string): boolean {
  if (content !== undefined || entry.name === undefined) return false;
  const reference = tryParse(text, defaultRegistry);
  return reference !== undefined && formatReference(reference) === entry.name;
}
