import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import {
  HealthCheckResponse_ServingStatus as Serving,
  type HealthServer,
  HealthService,
} from "../../../gen/grpc/health/v1/health.js";
import type { GrpcProtocol } from "../protocol.js";
import { serviceNames } from "./service-names.js";

/** Whoever may connect may ask. */
export const healthPaths: ReadonlySet<string> = new Set(Object.values(HealthService).map(({ path }) => path));

/** How often those that watch are told of a change. */
const lookEveryMs = 1000;

/** `grpc.health.v1`: of the server, and of each service on it. */
export class Health implements GrpcProtocol {
  readonly service = HealthService;
  readonly #trouble: () => string | undefined;
  readonly #names: ReadonlySet<string>;
  readonly #watchers = new Set<() => void>();

  constructor(trouble: () => string | undefined, others: readonly GrpcProtocol[]) {
    this.#trouble = trouble;
    this.#names = new Set(["", ...serviceNames([...others, this])]);
  }

  /** Those that watch are told, and end. */
  close(): void {
    for (const end of this.#watchers) end();
  }

  implementation(): UntypedServiceImplementation {
    const server: HealthServer = {
      check: ({ request: { service } }, reply) => {
        if (this.#names.has(service)) reply(null, { status: this.#status() });
        else reply({ code: status.NOT_FOUND, details: "there is no such service" });
      },
      watch: (call) => {
        const isThere = this.#names.has(call.request.service);
        let told: Serving | undefined;
        const tell = (): void => {
          const now = isThere ? this.#status() : Serving.SERVICE_UNKNOWN;
          if (now !== told) call.write({ status: now });
          told = now;
        };
        const timer = setInterval(tell, lookEveryMs).unref();
        const end = (): void => {
          clearInterval(timer);
          this.#watchers.delete(last);
        };
        const last = (): void => {
          tell();
          end();
          call.end();
        };
        this.#watchers.add(last);
        call.on("cancelled", end);
        tell();
      },
    };
    return { ...server };
  }

  #status(): Serving {
    return this.#trouble() === undefined ? Serving.SERVING : Serving.NOT_SERVING;
  }
}
