import { Client, credentials } from "@grpc/grpc-js";
import { ImageServiceService, RuntimeServiceService } from "../../src/gen/runtime/v1/api.js";

export const runtime = RuntimeServiceService;
export const image = ImageServiceService;

interface Method<Req, Res> {
  readonly path: string;
  readonly requestSerialize: (value: Req) => Buffer;
  readonly requestDeserialize: (value: Buffer) => Req;
  readonly responseDeserialize: (value: Buffer) => Res;
}

/** CRI as kubelet and crictl speak it: gRPC on the runtime's Unix socket. */
export class Cri {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure(), {
      "grpc.default_authority": "localhost",
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 200,
    });
  }

  /** Waits until the socket is served. */
  async ready(limitMs: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#client.waitForReady(Date.now() + limitMs, (thrown) => {
        if (thrown === undefined) resolve();
        else reject(thrown);
      });
    });
  }

  /** One call; what the request leaves out has the protocol's defaults. */
  async call<Req extends object, Res>(
    method: Method<Req, Res>,
    request: Partial<Req>,
    limitMs: number,
    signal?: AbortSignal,
  ): Promise<Res> {
    signal?.throwIfAborted();
    const whole: Req = { ...method.requestDeserialize(Buffer.alloc(0)), ...request };
    return await new Promise<Res>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        whole,
        { deadline: Date.now() + limitMs },
        (thrown, answer) => {
          signal?.removeEventListener("abort", cancel);
          if (thrown !== null) reject(thrown);
          else if (answer === undefined) reject(new Error(`${method.path}: no answer`));
          else resolve(answer);
        },
      );
      const cancel = (): void => {
        call.cancel();
      };
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  close(): void {
    this.#client.close();
  }
}
