/** Names of a layer's entries, taken apart and checked before anything touches the disk. */
import { RuntimeError } from "../../base/errors.js";

/**
 * The components of an entry's name; none for the root itself. A leading slash means the layer's root, as everywhere
 * in the field; ".." is refused, also where it would stay inside: no honest writer makes it.
 */
export function entryParts(name: string): string[] {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw escapes('its name has ".."');
  return parts;
}

/** The components of a hard link's target. An absolute one means a file of the machine that made the tar. */
export function linkParts(link: string): string[] {
  if (link.startsWith("/")) throw escapes(`its hard link's target "${link.slice(0, 200)}" is absolute`);
  const parts = link.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw escapes(`its hard link's target "${link.slice(0, 200)}" has ".."`);
  if (parts.length === 0) throw escapes("its hard link has no target");
  return parts;
}

/** What a name says about layers below: OCI image spec, "layer.md", Whiteouts. */
export type Whiteout =
  | { readonly kind: "none" }
  /** The folder hides all that lower layers have in it. */
  | { readonly kind: "opaque" }
  /** Lower layers' `name` is gone. */
  | { readonly kind: "removed"; readonly name: string }
  /** Bookkeeping of AUFS, without meaning for anyone else. */
  | { readonly kind: "ignored" };

const whiteoutPrefix = ".wh.";

export function whiteoutOf(name: string): Whiteout {
  if (!name.startsWith(whiteoutPrefix)) return { kind: "none" };
  if (name === ".wh..wh..opq") return { kind: "opaque" };
  if (name.startsWith(".wh..wh.")) return { kind: "ignored" };
  const hidden = name.slice(whiteoutPrefix.length);
  if (hidden === "" || hidden === "." || hidden === "..") throw escapes("it is a whiteout of nothing");
  return { kind: "removed", name: hidden };
}

export function escapes(why: string): RuntimeError {
  return new RuntimeError("internal", `the layer leaves its root: ${why}`);
}
