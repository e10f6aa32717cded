import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { ErrorCode } from "../base/errors.js";
import { BoundedLabels } from "./bounded-labels.js";
import { secondsSince } from "./seconds-since.js";

const mostRegistries = 64;
const pullBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900];

/** One pull under way. */
interface PullFigure {
  received(bytes: number): void;
  /** `failure`: undefined when the image is here. */
  ended(failure: ErrorCode | undefined): void;
}

/** Pulls by registry. Fits `PullObserver` of `image`, which knows nothing of this. */
export class PullFigures {
  readonly #inFlight: Gauge;
  readonly #bytes: Counter<"registry">;
  readonly #seconds: Histogram<"registry">;
  readonly #failures: Counter<"registry" | "reason">;
  readonly #registries: BoundedLabels;

  /** `knownRegistries` have their own series however many others come. */
  constructor(register: Registry, knownRegistries: readonly string[]) {
    const registers = [register];
    this.#registries = new BoundedLabels(mostRegistries, knownRegistries);
    this.#inFlight = new Gauge({
      name: "a3s_box_image_pulls_in_flight",
      help: "Image pulls under way. Callers with one reference share a pull.",
      registers,
    });
    this.#bytes = new Counter({
      name: "a3s_box_image_pull_bytes_total",
      help: "Bytes of blobs that came from registries, packed, by the registry of the image's name.",
      labelNames: ["registry"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "a3s_box_image_pull_seconds",
      help: "Pulls that brought an image in, unpacked and named.",
      labelNames: ["registry"],
      buckets: pullBuckets,
      registers,
    });
    this.#failures = new Counter({
      name: "a3s_box_image_pull_failures_total",
      help: "Pulls that failed, by registry and by the code of the error.",
      labelNames: ["registry", "reason"],
      registers,
    });
  }

  began(registry: string): PullFigure {
    const label = { registry: this.#registries.of(registry) };
    const seconds = secondsSince();
    this.#inFlight.inc();
    return {
      received: (bytes) => {
        this.#bytes.inc(label, bytes);
      },
      ended: (failure) => {
        this.#inFlight.dec();
        if (failure === undefined) this.#seconds.observe(label, seconds());
        else this.#failures.inc({ ...label, reason: failure });
      },
    };
  }
}
