import { RuntimeError, errnoOf, messageOf } from "../base/errors.js";
import type { Native } from "../native/addon.js";
import { movedRoot } from "./box-ids.js";
import type { StartRequest } from "./drivers/driver.js";

/**
 * The user namespace of a Box with that root, while the Box's processes start: later it is there as long as one of them is.
 * Undefined: none.
 */
export class BoxNamespace implements AsyncDisposable {
  readonly given: StartRequest["userNamespace"];
  readonly #native: Pick<Native, "closeFd">;

  private constructor(native: Pick<Native, "closeFd">, given: StartRequest["userNamespace"]) {
    this.given = given;
    this.#native = native;
  }

  static async open(
    native: Pick<Native, "openUserNamespace" | "closeFd">,
    root: number | undefined,
  ): Promise<BoxNamespace> {
    if (root === undefined) return new BoxNamespace(native, null);
    try {
      return new BoxNamespace(native, { fd: await native.openUserNamespace(movedRoot(root)), root });
    } catch (cause) {
      const hint = "raise the sysctl user.max_user_namespaces; after a start with 0 the runtime does without";
      const detail = errnoOf(cause) === "ENOSPC" ? { cause, hint } : { cause };
      const message = `no user namespace for the file server: ${messageOf(cause)}`;
      throw new RuntimeError("resourceExhausted", message, detail);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.given !== null) await this.#native.closeFd(this.given.fd);
  }
}
