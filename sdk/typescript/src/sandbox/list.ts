import { connectionTo } from "../connection.js";
import { InvalidArgumentError } from "../errors.js";
import { ListSandboxesRequest, SandboxServiceService as service } from "../gen/sandboxes/v1/sandboxes.js";
import type { ConnectionOpts } from "../options.js";
import { sandboxInfo, stateNumber, type SandboxInfo, type SandboxState } from "./info.js";

export interface SandboxListOpts extends ConnectionOpts {
  /** All that is given must be so; of the states any. Usually those that have not ended. */
  readonly query?: {
    readonly metadata?: Readonly<Record<string, string>>;
    readonly state?: readonly SandboxState[];
    readonly startedAfter?: Date;
    readonly template?: string;
  };
  /** Of a page: 1 to 1,000, usually 100. */
  readonly limit?: number;
  /** `nextToken` of another paginator. */
  readonly nextToken?: string;
}

/** Sandboxes, the newest first, in pages; or one by one, by iterating it. */
export class SandboxPaginator implements AsyncIterable<SandboxInfo> {
  readonly #opts: SandboxListOpts;
  #hasNext = true;
  #token: string | undefined;

  constructor(opts: SandboxListOpts = {}) {
    this.#opts = opts;
    this.#token = opts.nextToken;
  }

  /** There may be more. */
  get hasNext(): boolean {
    return this.#hasNext;
  }

  get nextToken(): string | undefined {
    return this.#token;
  }

  async nextItems(): Promise<SandboxInfo[]> {
    const { query, limit } = this.#opts;
    if (!this.#hasNext) throw new InvalidArgumentError("there are no more pages", { stage: "Sandbox.list" });
    if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1)) {
      throw new InvalidArgumentError("limit is a number from 1 up", { stage: "Sandbox.list" });
    }
    const request = ListSandboxesRequest.fromPartial({
      ...{ metadata: query?.metadata ?? {}, template: query?.template ?? "", pageToken: this.#token ?? "" },
      states: (query?.state ?? ["starting", "running", "paused"]).map(stateNumber),
      ...(query?.startedAfter === undefined ? {} : { startedAfter: query.startedAfter }),
      pageSize: limit ?? 0,
    });
    const connection = await connectionTo(this.#opts);
    const call = { stage: "Sandbox.list", subject: "sandbox", opts: this.#opts } as const;
    const { sandboxes, nextPageToken } = await connection.repeatable(service.listSandboxes, request, call);
    this.#hasNext = nextPageToken !== "";
    this.#token = nextPageToken === "" ? undefined : nextPageToken;
    return sandboxes.map(sandboxInfo);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SandboxInfo, void> {
    while (this.#hasNext) yield* await this.nextItems();
  }
}
