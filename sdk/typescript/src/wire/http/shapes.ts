/** What the REST face answers, as messages of sandboxes.v1. */
import { status } from "@grpc/grpc-js";
import { AtEnd, Network, Sandbox, SandboxState } from "../../gen/sandboxes/v1/sandboxes.js";
import { WireError } from "../wire.js";

const states: Readonly<Record<string, SandboxState>> = {
  starting: SandboxState.STARTING,
  running: SandboxState.RUNNING,
  paused: SandboxState.PAUSED,
  ended: SandboxState.ENDED,
};

export const stateName = (number: SandboxState): string =>
  Object.entries(states).find(([, state]) => state === number)?.[0] ?? "running";

/** One value of JSON, whose fields are asked for by what they must be. */
export class Json {
  readonly #value: object;

  constructor(value: unknown) {
    if (typeof value !== "object" || value === null) {
      throw new WireError(status.INTERNAL, "the runtime's answer is no object of JSON", false);
    }
    this.#value = value;
  }

  field(name: string): unknown {
    return Object.entries(this.#value).find(([key]) => key === name)?.[1];
  }

  text(name: string): string {
    const value = this.field(name);
    return typeof value === "string" ? value : "";
  }

  number(name: string): number {
    const value = this.field(name);
    return typeof value === "number" ? value : 0;
  }

  flag(name: string): boolean {
    return this.field(name) === true;
  }

  time(name: string): Date | undefined {
    const ms = Date.parse(this.text(name));
    return Number.isNaN(ms) ? undefined : new Date(ms);
  }

  texts(name: string): Record<string, string> {
    const value = this.field(name);
    const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
    return Object.fromEntries(entries.map(([key, text]) => [key, String(text)]));
  }

  list(name: string): Json[] {
    const value = this.field(name);
    return Array.isArray(value) ? value.map((one) => new Json(one)) : [];
  }
}

export function sandboxOf(json: Json): Sandbox {
  return Sandbox.fromPartial({
    ...{ id: json.text("id"), tenant: json.text("tenant"), template: json.text("template"), image: json.text("image") },
    state: states[json.text("state")] ?? SandboxState.UNSPECIFIED,
    startedAt: json.time("started_at"),
    endsAt: json.time("ends_at"),
    ...{ vcpus: json.number("vcpus"), memoryMib: json.number("memory_mib"), diskMib: json.number("disk_mib") },
    ...{ env: json.texts("env"), metadata: json.texts("metadata") },
    ...{ user: json.text("user"), workingDir: json.text("working_dir") },
    mounts: json.list("mounts").map((mount) => ({
      ...{ hostPath: mount.text("host_path"), path: mount.text("path"), readonly: mount.flag("readonly") },
    })),
    network: json.text("network") === "none" ? Network.NONE : Network.POD,
    atEnd: json.text("at_end") === "pause" ? AtEnd.PAUSE : AtEnd.END,
    endsWithOwner: json.flag("ends_with_owner"),
    ...{ podId: json.text("pod_id"), containerId: json.text("container_id") },
  });
}
