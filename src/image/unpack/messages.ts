/** What the store and its unpacking workers say to each other. */
import type { ErrorCode } from "../../base/errors.js";
import type { Compression } from "../content/media-types.js";
import type { TreeNotes } from "./layer-tree.js";

export interface WorkerSettings {
  /** Where the native addon is. */
  readonly assetsDir: string;
}

/** Unpack a layer's blob into `folder`/fs; `folder` is there and empty. */
export interface UnpackRequest {
  readonly kind: "unpack";
  readonly blob: string;
  readonly compression: Compression;
  /** Digest that the uncompressed layer must have. */
  readonly diffId: string;
  readonly folder: string;
}

/** Give the folders that a layer implies the attributes that they have in the layers below, uppermost first. */
export interface SettleRequest {
  readonly kind: "settle";
  readonly root: string;
  readonly impliedFolders: readonly string[];
  readonly lowers: readonly string[];
}

export type WorkerRequest = UnpackRequest | SettleRequest | { readonly kind: "cancel" };

/** One answer to each request but "cancel". */
export type WorkerAnswer =
  | { readonly ok: true; readonly notes: TreeNotes }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };
