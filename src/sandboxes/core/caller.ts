/** Who asks, as `sandboxes/listen` has found out before anything is read of what is asked (design, decision 28). */
export interface Caller {
  /** Whose quota counts, and whose sandboxes there are for this caller: a namespace, or the owner of a token. */
  readonly tenant: string;
  /** For the audit line: "pod team-a/app-0", "token ci", "uid 0". */
  readonly name: string;
  /** The pod that calls, where it is one: sandboxes that end with their owner end with it. */
  readonly owner?: OwnerPod;
}

export interface OwnerPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}
