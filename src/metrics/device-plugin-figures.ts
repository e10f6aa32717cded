import { Counter, Gauge, type Registry } from "prom-client";

/** What kubelet is offered of KVM, where the configuration has a device plugin. */
export class DevicePluginFigures {
  readonly #registered: Gauge;
  readonly #devices: Gauge<"health">;
  readonly #registrations: Counter<"outcome">;
  readonly #allocations: Counter;

  constructor(register: Registry) {
    const registers = [register];
    this.#registered = new Gauge({
      name: "a3s_box_device_plugin_registered",
      help: "1 while kubelet has this node's KVM from the device plugin; 0 too where KubeVirt offers it.",
      registers,
    });
    this.#devices = new Gauge({
      name: "a3s_box_device_plugin_devices",
      help: "Places that kubelet may give to containers, by health: a self-test runs a guest, or it does not.",
      labelNames: ["health"],
      registers,
    });
    this.#registrations = new Counter({
      name: "a3s_box_device_plugin_registrations_total",
      help: "Tries to register with kubelet.",
      labelNames: ["outcome"],
      registers,
    });
    this.#allocations = new Counter({
      name: "a3s_box_device_plugin_allocations_total",
      help: "Containers that were given KVM.",
      registers,
    });
    this.devices({ healthy: 0, unhealthy: 0 });
    for (const outcome of ["ok", "failed"]) this.#registrations.inc({ outcome }, 0);
  }

  registered(is: boolean): void {
    this.#registered.set(is ? 1 : 0);
  }

  devices(counts: { readonly healthy: number; readonly unhealthy: number }): void {
    for (const [health, count] of Object.entries(counts)) this.#devices.set({ health }, count);
  }

  registration(outcome: "ok" | "failed"): void {
    this.#registrations.inc({ outcome });
  }

  allocated(containers: number): void {
    this.#allocations.inc(containers);
  }
}
