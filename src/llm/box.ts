/** Whose connection it is: facts of the daemon's, nothing that a guest has said. */
export interface LlmBox {
  /** Of the pod, which is its Box's, too. */
  readonly id: string;
  /** A namespace, or the owner of a token. */
  readonly tenant: string;
  /** Names of the providers that it may ask, in the order in which it was given them. */
  readonly providers: readonly string[];
}
