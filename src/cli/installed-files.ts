import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { defaultConfigText } from "../config/default-text.js";

/** One file that `install` puts in place. */
export interface InstalledFile {
  readonly path: string;
  readonly text: string;
  /** Another program's, or the operator's to change: one that is there stays as it is. */
  readonly keep: boolean;
  /** Only `uninstall --purge` takes it away, changed or not. */
  readonly settings: boolean;
  /** 0644 where it is not said. */
  readonly mode?: number;
  readonly about: string;
}

export const unitName = "a3s-box.service";
const packageDirectory = join(import.meta.dirname, "../..");

export async function installedFiles(): Promise<InstalledFile[]> {
  const template = async (name: string): Promise<string> =>
    await readFile(join(packageDirectory, "systemd", name), "utf8");
  const unit = (await template(unitName))
    .replaceAll("@PACKAGE@", packageDirectory)
    .replaceAll("@NODE@", process.execPath);
  return [
    {
      ...{ path: `/etc/systemd/system/${unitName}`, text: unit, keep: false, settings: false },
      about: "the daemon's unit",
    },
    {
      ...{ path: "/etc/a3s-box/config.toml", text: defaultConfigText(), keep: true, settings: true },
      mode: 0o600, // image.auth has passwords
      about: "its configuration: every key with its default",
    },
    {
      ...{ path: "/etc/a3s-box/kubelet-snippet.yaml", text: await template("kubelet-snippet.yaml"), keep: false },
      ...{ settings: false, about: "what kubelet's configuration needs" },
    },
    {
      ...{ path: "/etc/crictl.yaml", text: await template("crictl.yaml"), keep: true, settings: false },
      about: "crictl's endpoint",
    },
  ];
}
