import { codeOf, messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { Caller } from "./caller.js";

/** What was done, and to which sandbox. */
export interface Deed {
  readonly what: string;
  /** "": there is none yet. */
  readonly sandbox: string;
  /** A program's name, a path: no contents, no environment. */
  readonly detail?: string;
}

const longest = 300;

/** One line for each call that changes something, whatever comes of it. */
export async function audited<T>(
  log: Logger,
  { name, tenant }: Caller,
  deed: Deed,
  work: () => Promise<T>,
): Promise<T> {
  const { what, sandbox, detail } = deed;
  const line = {
    ...{ audit: true, caller: name.slice(0, longest), tenant, what, sandbox: sandbox.slice(0, longest) },
    ...(detail === undefined ? {} : { detail: detail.slice(0, longest) }),
  };
  try {
    const result = await work();
    log.info({ ...line, outcome: "ok" }, "audit");
    return result;
  } catch (thrown) {
    log.info({ ...line, outcome: codeOf(thrown), err: messageOf(thrown) }, "audit");
    throw thrown;
  }
}
