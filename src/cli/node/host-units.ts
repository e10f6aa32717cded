/** Units of the node's systemd, by its bus or the manager's own socket. */
import { stage } from "../../base/stage.js";
import type { DbusWriter } from "../../vmm/systemd/dbus-writer.js";
import { callManager } from "../../vmm/systemd/manager.js";

export interface HostUnits {
  reload(signal: AbortSignal): Promise<void>;
  /** Now, and with each start of the node. `anew`: also where it runs. */
  start(unit: string, anew: boolean, signal: AbortSignal): Promise<void>;
  /** Once: not with the node. */
  runOnce(unit: string, signal: AbortSignal): Promise<void>;
  /** Now and for good. */
  stop(unit: string, signal: AbortSignal): Promise<void>;
}

const limitMs = 30_000;

/** The methods of org.freedesktop.systemd1.Manager, as systemctl calls them. */
export function hostUnits(sockets: readonly string[]): HostUnits {
  const call = async (
    member: string,
    signature: string,
    body: (writer: DbusWriter) => void,
    parent: AbortSignal,
  ): Promise<void> => {
    await stage(`systemd ${member}`, limitMs, parent, (signal) =>
      callManager({ member, signature, body }, signal, sockets),
    );
  };
  const job = async (member: string, unit: string, signal: AbortSignal): Promise<void> => {
    const words = (writer: DbusWriter): void => {
      for (const word of [unit, "replace"]) writer.string(word);
    };
    await call(member, "ss", words, signal);
  };
  const files =
    (unit: string, flags: number) =>
    (writer: DbusWriter): void => {
      writer.array([unit], 4, (one) => {
        writer.string(one);
      });
      for (let left = flags; left > 0; left -= 1) writer.uint32(0); // neither runtime nor force
    };
  return {
    reload: async (signal) => {
      await call("Reload", "", () => undefined, signal);
    },
    start: async (unit, anew, signal) => {
      await call("EnableUnitFiles", "asbb", files(unit, 2), signal);
      await call("Reload", "", () => undefined, signal);
      await job(anew ? "RestartUnit" : "StartUnit", unit, signal);
    },
    runOnce: async (unit, signal) => {
      await job("StartUnit", unit, signal);
    },
    stop: async (unit, signal) => {
      await call("DisableUnitFiles", "asb", files(unit, 1), signal);
      await job("StopUnit", unit, signal);
    },
  };
}
