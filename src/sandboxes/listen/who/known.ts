import type { RuntimeError } from "../../../base/errors.js";
import type { Caller } from "../../core/caller.js";

/** What a connection says of who is at its other end, before anything of what is asked. */
export type Known =
  | { readonly kind: "caller"; readonly caller: Caller }
  /** Each request is answered with it. */
  | { readonly kind: "refused"; readonly why: RuntimeError }
  /** Each request says it, by a token: of the port's, unless this connection is for others. */
  | { readonly kind: "token"; readonly owners?: TokenOwners };

export interface TokenOwners {
  /** Undefined: it is nobody's. */
  ownerOf(token: string): Promise<Caller | undefined>;
}

/**
 * Root of the machine, and whoever calls where nobody is told from another. No namespace of Kubernetes and no token's tenant
 * can have these names.
 */
export const nodeTenant = "_node";
export const localTenant = "_local";
