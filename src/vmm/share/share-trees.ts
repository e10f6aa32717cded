import type { Native } from "../../native/addon.js";

/** Descriptors of mounts that are mounted nowhere yet: for who serves a share, to mount them where it is. */
export interface GivenTrees {
  readonly share: number;
  /** The guest's base, at `base` in the share. */
  readonly base: number;
}

/** They are open while the Box's processes start; unless one of these has mounted them they end then. */
export class ShareTrees implements AsyncDisposable {
  readonly given: GivenTrees;
  readonly #native: Pick<Native, "closeFd">;

  private constructor(native: Pick<Native, "closeFd">, given: GivenTrees) {
    this.given = given;
    this.#native = native;
  }

  static async open(
    native: Pick<Native, "closeFd">,
    share: () => Promise<number>,
    base: () => Promise<number>,
  ): Promise<ShareTrees> {
    const first = await share();
    try {
      return new ShareTrees(native, { share: first, base: await base() });
    } catch (thrown) {
      await native.closeFd(first);
      throw thrown;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#native.closeFd(this.given.share);
    await this.#native.closeFd(this.given.base);
  }
}
