/** The file system that a container has. */
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { container, type Case } from "../case.js";
import { hostDirectory, type Place } from "../container.js";

// A program takes its time under emulation: the shell does what it can by itself.
const mounts = "echo @@mounts; cat /proc/self/mountinfo\n";
const dev = ["/dev", "/dev/pts", "/dev/mqueue"].map((path) => `echo @@ls ${path}; ls -lan ${path}\n`).join("");
const show = (...paths: readonly string[]): string =>
  `echo @@each at; stat -c '%n %a %u:%g %F' ${paths.join(" ")} 2>&1\n`;
const files = `${show("/", "/etc", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab", "/proc", "/sys")}
${show("/dev", "/dev/shm", "/run", "/tmp", "/root", "/var/run", "/etc/passwd", "/proc/self/fd/1")}
echo @@hosts; cat /etc/hosts
echo @@hostname; cat /etc/hostname /proc/sys/kernel/hostname /proc/sys/kernel/domainname
echo @@resolv.conf; cat /etc/resolv.conf
`;
const writes = (...paths: readonly string[]): string => `echo @@each writable; for f in ${paths.join(" ")}; do
if r=$( { : >>$f; } 2>&1 ); then echo "$f yes"; else echo "$f \${r##*: }"; fi; done\n`;
const writable = `${writes("/x", "/etc/x", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/proc/bus", "/proc/fs")}
${writes("/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/sys/x", "/sys/kernel/x")}
${writes("/dev/x", "/tmp/x")}
echo @@each readable; for f in /proc/keys /proc/timer_list /proc/interrupts /proc/cmdline; do
if IFS= read -r x <$f; then echo "$f yes"; else echo "$f no"; fi; done
for f in /sys/firmware /proc/1/root; do set -- $f/*; [ -e "$1" ] && echo "$f full" || echo "$f empty"; done
`;
const end = "echo @@end\n";
const mount = (place: Place, hostPath: string, containerPath: string, more: object = {}) => ({
  hostPath: hostPath.startsWith("/") ? hostPath : join(place.directory, hostPath),
  containerPath,
  ...more,
});
const ofVolumes = writes("/data/x", "/new-volume/x", "/x");

export const fileCases: readonly Case[] = [
  container("files", { probe: `${mounts}${dev}${files}${writable}${end}` }),
  container("files of a user", { security: { runAsUser: { value: 1000n } }, probe: `${files}${writable}${dev}${end}` }),
  container("read-only root", { security: { readonlyRootfs: true }, probe: `${mounts}${writable}${end}` }),
  container("privileged files", {
    security: { privileged: true, maskedPaths: [], readonlyPaths: [] },
    probe: `${mounts}${writable}${show("/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/net/tun", "/dev/loop-control")}${end}`,
  }),
  container("nothing masked", {
    security: { maskedPaths: [], readonlyPaths: [] },
    probe: `${mounts}${writable}${end}`,
  }),
  container("paths masked and read-only", {
    security: {
      maskedPaths: ["/data", "/file", "/not/there", "/directory-link"],
      readonlyPaths: ["/home", "/nor/this", "/etc/passwd"],
    },
    probe: `${mounts}${show("/data", "/file", "/directory-link", "/home", "/etc/passwd")}${writes("/data/x", "/home/x", "/home/user/x", "/etc/passwd", "/file")} echo @@inside; ls -la /data | wc -l; wc -c </file\n${end}`,
  }),
  container("mount targets", {
    part: async (place) => {
      const directory = await hostDirectory(place, "directory", 0o711);
      await writeFile(join(directory, "inner"), "inner\n", { mode: 0o604 });
      const file = join(place.directory, "file");
      await writeFile(file, "of the host\n", { mode: 0o640 });
      await symlink("directory", join(place.directory, "link"));
      return {
        command: [
          "sh",
          "-c",
          `${mounts}${show("/made", "/made/by", "/made/by/mount", "/made/file", "/data", "/data/below", "/data/below/deep", "/not", "/not/there", "/dangling-link", "/directory-link", "/link-target", "/tmp/from-link", "/ro", "/relative", "/home/user/norm", "/dev/dropped", "/file-link", "/file")}echo @@ls /made; ls -lan /made/by/mount\necho @@each content; for f in /made/file /file /file-link /dangling-file /data/file; do echo "$f $(cat $f 2>&1 | tail -1)"; done\n${end}`,
        ],
        mounts: [
          mount(place, "directory", "/made/by/mount"),
          mount(place, "file", "/made/file"),
          mount(place, "directory", "/directory-link/below/deep"),
          mount(place, "directory", "/dangling-link"),
          mount(place, "link", "/tmp/from-link"),
          mount(place, "directory", "/ro", { readonly: true }),
          mount(place, "directory", "/ro/x", {}),
          mount(place, "directory", "/spaced name"),
          mount(place, "directory", "/home/./user/../user/norm/"),
          mount(place, "directory", "/dev/dropped"),
          mount(place, "file", "/file-link"),
        ].filter(({ containerPath }) => containerPath !== "/ro/x"),
      };
    },
  }),
  container("mounts of the request over the runtime's", {
    part: async (place) => {
      await writeFile(join(place.directory, "file"), "mine\n");
      await hostDirectory(place, "directory");
      return {
        command: [
          "sh",
          "-c",
          `${mounts}echo @@each content; for f in /etc/hosts /etc/hostname /etc/resolv.conf; do echo "$f $(head -1 $f)"; done\n${show("/dev/shm", "/etc/hosts", "/run")}${end}`,
        ],
        mounts: [
          mount(place, "file", "/etc/hosts"),
          mount(place, "file", "/etc/hostname", { readonly: true }),
          mount(place, "file", "/etc/resolv.conf"),
          mount(place, "directory", "/dev/shm"),
          mount(place, "directory", "/run"),
          mount(place, "directory", "/sys/fs/cgroup"),
        ],
      };
    },
  }),
  container("a mount with a relative target", {
    part: async (place) => ({
      command: ["sh", "-c", `${show("/relative/target")}${end}`],
      mounts: [{ hostPath: await hostDirectory(place, "directory"), containerPath: "relative/target" }],
    }),
  }),
  container("a mount from a relative source", {
    part: () => ({ command: ["sh", "-c", end], mounts: [{ hostPath: "tmp", containerPath: "/target" }] }),
  }),
  container("a mount whose source is missing", {
    part: (place) => ({
      command: ["sh", "-c", `${show("/target")}${end}`],
      mounts: [{ hostPath: join(place.directory, "not/there"), containerPath: "/target" }],
    }),
  }),
  container("two mounts on one target", {
    part: async (place) => {
      for (const name of ["a", "b"]) await writeFile(join(await hostDirectory(place, name), name), "");
      return {
        command: ["sh", "-c", `echo @@there; ls /target; grep -c /target /proc/self/mountinfo\n${end}`],
        mounts: ["a", "b"].map((name) => mount(place, name, "/target")),
      };
    },
  }),
  container("a mount on the root", {
    part: async (place) => ({
      command: ["sh", "-c", end],
      mounts: [{ hostPath: await hostDirectory(place, "directory"), containerPath: "/" }],
    }),
  }),
  container("a mount below a file", {
    part: async (place) => ({
      command: ["sh", "-c", end],
      mounts: [{ hostPath: await hostDirectory(place, "directory"), containerPath: "/file/below" }],
    }),
  }),
  container("a directory on a file", {
    part: async (place) => ({
      command: ["sh", "-c", end],
      mounts: [{ hostPath: await hostDirectory(place, "directory"), containerPath: "/file" }],
    }),
  }),
  container("a file on a directory", {
    part: async (place) => {
      await writeFile(join(place.directory, "file"), "");
      return { command: ["sh", "-c", end], mounts: [mount(place, "file", "/data")] };
    },
  }),
  container("volumes of the image", {
    image: "with-config",
    part: { command: ["sh", "-c", `${mounts}${show("/data", "/data/file", "/new-volume")}${ofVolumes}${end}`] },
  }),
  container("volumes of the image, of which the pod brings one", {
    image: "with-config",
    security: { runAsUser: { value: 0n }, readonlyRootfs: true },
    part: async (place) => ({
      command: ["sh", "-c", `${mounts}${show("/data", "/data/file", "/new-volume")}${ofVolumes}${end}`],
      workingDir: "/",
      mounts: [{ hostPath: await hostDirectory(place, "mine"), containerPath: "/data/" }],
    }),
  }),
];
