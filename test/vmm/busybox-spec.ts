/** The least of an OCI runtime spec (config.json) that runs a shell of busybox. */
export function busyboxSpec(
  root: string,
  command: string,
  volume?: string,
): { readonly process: object } & Record<string, unknown> {
  const mount = (destination: string, type: string, source: string, options: string[]) => ({
    ...{ destination, type, source, options },
  });
  const capabilities = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"];
  return {
    ociVersion: "1.2.0",
    root: { path: root },
    process: {
      args: ["/bin/busybox", "sh", "-c", `export PATH=/x; /bin/busybox --install -s /tmp; PATH=/tmp; ${command}`],
      env: ["PATH=/bin"],
      cwd: "/",
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    },
    mounts: [
      mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
      mount("/tmp", "tmpfs", "tmpfs", ["nosuid", "nodev"]),
      ...(volume === undefined ? [] : [mount("/volume", "bind", volume, ["bind", "rw"])]),
    ],
    linux: { namespaces: ["pid", "mount", "ipc", "uts", "cgroup"].map((type) => ({ type })) },
  };
}
