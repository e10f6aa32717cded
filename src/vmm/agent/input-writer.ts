import type { ClientWritableStream, ServiceError } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import type { InputRequest, InputResponse, ProcessRef } from "../../gen/agent/v1/agent.js";
import type { InputWriter } from "./agent-client.js";
import type { CallScope } from "./call-scope.js";
import { failureOf } from "./status.js";

/** InputRequest.data of the contract. */
const maxInputBytes = 32 * 1024;

type InputCall = ClientWritableStream<InputRequest>;
export type OpenInput = (reply: (error: ServiceError | null, response?: InputResponse) => void) => InputCall;

/** Feeds one process's stdin over one connection; a lost one ends it, for nobody knows what had arrived. */
export class ProcessInput implements InputWriter {
  readonly #process: ProcessRef;
  readonly #call: InputCall;
  readonly #finished: Promise<void>;
  #failure: Error | undefined;
  #named = false;

  constructor(scope: CallScope, process: ProcessRef, signal: AbortSignal, open: OpenInput) {
    scope.throwIfShut();
    signal.throwIfAborted();
    this.#process = process;
    let finish: (error: ServiceError | null) => void = () => undefined;
    this.#finished = new Promise((resolve, reject) => {
      finish = (error) => {
        scope.delete(this.#call);
        signal.removeEventListener("abort", cancel);
        if (error === null) {
          this.#failure ??= new RuntimeError("failedPrecondition", "input has ended", { stage: "agent input" });
          resolve();
          return;
        }
        this.#failure = failureOf(scope, "input", error, null, signal);
        reject(this.#failure);
      };
    });
    this.#finished.catch(() => undefined); // whoever writes or ends sees it
    this.#call = open((error) => {
      finish(error);
    });
    this.#call.on("error", () => undefined);
    const cancel = (): void => {
      this.#call.cancel();
    };
    scope.add(this.#call);
    signal.addEventListener("abort", cancel, { once: true });
  }

  async write(data: Uint8Array): Promise<void> {
    for (let offset = 0; offset < data.length; offset += maxInputBytes) {
      await this.#send({ data: data.subarray(offset, offset + maxInputBytes), close: false });
    }
  }

  async end(): Promise<void> {
    await this.#send({ data: new Uint8Array(), close: true });
    this.#call.end();
    await this.#finished;
  }

  close(): void {
    if (this.#failure === undefined) this.#call.end();
  }

  async finish(): Promise<void> {
    if (this.#failure === undefined) this.#call.end();
    await this.#finished;
  }

  async #send(part: { readonly data: Uint8Array; readonly close: boolean }): Promise<void> {
    this.#throwIfOver();
    const process = this.#named ? undefined : this.#process;
    this.#named = true;
    const written = new Promise<void>((resolve, reject) => {
      this.#call.write({ process, ...part }, (error: Error | null | undefined) => {
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
    // A call that has ended leaves writes without an answer.
    await Promise.race([written, this.#finished]);
    this.#throwIfOver();
  }

  #throwIfOver(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
