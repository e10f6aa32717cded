import type { Config } from "../config/config.js";
import { tapName } from "../net/guest-link.js";
import { SeccompFilters } from "../runtime/container/seccomp-filters.js";
import { readySize } from "../runtime/pod/box-size.js";
import { defaultCapabilities } from "../runtime/spec/capabilities.js";
import { rehearsedContainer } from "../runtime/spec/rehearsed.js";
import type { BoxFactoryOptions } from "../vmm/open-box-factory.js";

type PoolOptions = Omit<NonNullable<BoxFactoryOptions["pool"]>, "observer">;

/** What all handlers want ready. "" has what "microvm" has, and no more. No Box is larger than this machine, as no pod's is. */
export function poolOptions({ assets, handlers, network, sandbox }: Config): PoolOptions {
  const named = Object.entries(handlers).filter(([name]) => name !== "");
  const wanted = named.flatMap(([, handler]) =>
    handler.ready.map(({ count, ...size }) => ({
      ...readySize(size),
      count,
      driver: handler.driver === "native" ? undefined : handler.driver,
    })),
  );
  const filters = new SeccompFilters(assets.dir);
  return {
    wanted,
    tap: network === "loopback" ? null : tapName,
    leastFreeMib: sandbox.readyLeastFreeMib,
    rehearsed: {
      specOf: rehearsedContainer,
      filter: (signal) => filters.filterFor({ kind: "default" }, [...defaultCapabilities], signal),
    },
  };
}
