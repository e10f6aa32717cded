/** A package of Debian with the tree in /opt/a3s-box: deb(5), deb-control(5). */
import { lstat, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileMember, smallTarGz, writeAr, writeTarGz } from "./archive.js";
import { walk } from "./walk.js";

export interface DebWish {
  readonly directory: string;
  readonly version: string;
  readonly qemu: boolean;
  /** Least of glibc's. */
  readonly glibc: string;
  readonly time: Date;
}

const place = "/opt/a3s-box";
const programs = ["a3s-box", "a3s-box-cri-runtime"];

/**
 * The daemon loads parts of itself late, so it is started anew with the files of its version: its pods live on. Without
 * systemd, or where it is not installed, nothing is done.
 */
const afterUnpacking = `#!/bin/sh
set -e
if [ "$1" = configure ] && [ -e /etc/systemd/system/a3s-box.service ]; then
  ${place}/bin/a3s-box install >/dev/null
  if [ -d /run/systemd/system ]; then systemctl try-restart a3s-box.service || true; fi
fi
`;
const beforeRemoval = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -e /etc/systemd/system/a3s-box.service ]; then
  ${place}/bin/a3s-box uninstall >/dev/null
fi
`;

export async function writeDeb(path: string, wish: DebWish): Promise<void> {
  const { directory, time } = wish;
  const data = `${path}.data`;
  const links = programs.map((name) => ({ name: `./usr/bin/${name}`, to: `${place}/bin/a3s-box` }));
  try {
    await writeTarGz(data, { directory, prefix: `.${place}/`, time }, links);
    const control = [
      { name: "./control", text: controlOf(wish, await kibOf(directory)), mode: 0o644 },
      { name: "./postinst", text: afterUnpacking, mode: 0o755 },
      { name: "./prerm", text: beforeRemoval, mode: 0o755 },
    ];
    const members = [
      { name: "debian-binary", content: Buffer.from("2.0\n") },
      { name: "control.tar.gz", content: await smallTarGz(control, time) },
      await fileMember("data.tar.gz", data),
    ];
    await writeAr(path, members, time);
  } finally {
    await rm(data, { force: true });
  }
}

function controlOf({ version, qemu, glibc }: DebWish, kib: number): string {
  const lines = [
    `Package: ${qemu ? "a3s-box" : "a3s-box-kvm"}`,
    `Version: ${version}`,
    "Architecture: amd64",
    "Maintainer: a3s-box <a3s-box@localhost>",
    `Installed-Size: ${String(kib)}`,
    `Depends: libc6 (>= ${glibc})`,
    "Recommends: ca-certificates, containernetworking-plugins, e2fsprogs, iptables, nftables",
    ...(qemu ? ["Conflicts: a3s-box-kvm"] : ["Conflicts: a3s-box", "Provides: a3s-box"]),
    "Section: admin",
    "Priority: optional",
    "Description: sandboxes and Kubernetes pods as microVMs",
    " A CRI runtime and a server of sandboxes for agents, with all that it needs but",
    " the C library. `a3s-box check` says what this machine can do, and",
    " `a3s-box install` makes it a service.",
  ];
  return `${lines.join("\n")}\n`;
}

/** As Installed-Size counts: each file in whole KiB, and one for anything else. */
async function kibOf(directory: string): Promise<number> {
  let kib = 0;
  for (const { path } of await walk(directory)) {
    const stats = await lstat(join(directory, path));
    kib += stats.isFile() ? Math.ceil(stats.size / 1024) : 1;
  }
  return kib;
}
