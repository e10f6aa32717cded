import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { BoxFigures } from "./box-figures.js";
import { CallFigures } from "./call-figures.js";
import { DevicePluginFigures } from "./device-plugin-figures.js";
import { LlmFigures } from "./llm-figures.js";
import { EgressFigures } from "./egress-figures.js";
import { PoolFigures } from "./pool-figures.js";
import { PortFigures } from "./port-figures.js";
import { PullFigures } from "./pull-figures.js";
import { SandboxFigures } from "./sandbox-figures.js";
import { StartFigures } from "./start-figures.js";

/** States of things that are there now; each of `states` is told, also where there is none. */
export interface StateGauge {
  readonly name: string;
  readonly help: string;
  readonly states: readonly string[];
  readonly read: () => readonly string[];
}

/** All figures of one daemon. They are counted whether or not anybody can ask for them. */
export class Metrics {
  readonly boxes: BoxFigures;
  readonly calls: CallFigures;
  readonly devicePlugin: DevicePluginFigures;
  readonly llm: LlmFigures;
  readonly egress: EgressFigures;
  readonly pool: PoolFigures;
  readonly port: PortFigures;
  readonly pulls: PullFigures;
  readonly starts: StartFigures;
  readonly agentSandboxes: SandboxFigures;
  readonly #register = new Registry();

  constructor(knownRegistries: readonly string[] = [], knownModels: readonly string[] = []) {
    this.boxes = new BoxFigures(this.#register);
    this.calls = new CallFigures(this.#register);
    this.devicePlugin = new DevicePluginFigures(this.#register);
    this.llm = new LlmFigures(this.#register, knownModels);
    this.egress = new EgressFigures(this.#register);
    this.pool = new PoolFigures(this.#register);
    this.port = new PortFigures(this.#register);
    this.pulls = new PullFigures(this.#register, knownRegistries);
    this.starts = new StartFigures(this.#register);
    this.agentSandboxes = new SandboxFigures(this.#register);
  }

  /** `labels` say what this daemon is. */
  describe(labels: Readonly<Record<string, string>>): void {
    const labelNames = Object.keys(labels);
    const name = "a3s_box_build_info";
    new Gauge({ name, help: "Always 1.", labelNames, registers: [this.#register] }).set({ ...labels }, 1);
  }

  /** Counted anew each time somebody asks. */
  watchStates({ name, help, states, read }: StateGauge): void {
    new Gauge({
      name,
      help,
      labelNames: ["state"],
      registers: [this.#register],
      collect() {
        const now = read();
        for (const state of states) this.set({ state }, now.filter((one) => one === state).length);
      },
    });
  }

  /** What is there now, counted anew each time somebody asks. */
  watchCount(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.#register],
      collect() {
        this.set(read());
      },
    });
  }

  /** Figures of this process: memory, CPU, descriptors, event loop, garbage collector. Costs a timer and an observer. */
  watchProcess(): void {
    collectDefaultMetrics({ register: this.#register });
  }

  get contentType(): string {
    return this.#register.contentType;
  }

  /** Prometheus' text format. */
  async text(): Promise<string> {
    return await this.#register.metrics();
  }
}
