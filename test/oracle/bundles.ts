/** Specs that both runtimes run. Each asks for one thing more than the one before it all share. */
export interface Bundle {
  readonly name: string;
  readonly change?: (spec: Spec) => void;
  /** Printed by init on top of what all print. */
  readonly print?: string;
  /** Who must not run it. */
  readonly refused?: "both" | "own";
  /** Lines that only one of them prints, all of them; the reasons are in README.md. */
  readonly differs?: { readonly own: readonly string[]; readonly crun: readonly string[] };
}

interface Mount {
  destination: string;
  type: string;
  source: string;
  options: string[];
  uidMappings?: object[];
  gidMappings?: object[];
}

export interface Process {
  terminal: boolean;
  consoleSize?: object;
  user: { uid: number; gid: number; umask?: number; additionalGids: number[] };
  args: string[];
  env: string[];
  cwd: string;
  capabilities: Record<string, string[]>;
  rlimits: object[];
  noNewPrivileges: boolean;
  oomScoreAdj?: number;
}

export interface Spec {
  ociVersion: string;
  annotations: Record<string, string>;
  root: { path: string; readonly: boolean };
  hostname?: string;
  process: Process;
  mounts: Mount[];
  linux: {
    namespaces: { type: string; path?: string }[];
    uidMappings?: object[];
    gidMappings?: object[];
    devices?: object[];
    resources: Record<string, unknown>;
    rootfsPropagation?: string;
    maskedPaths: string[];
    readonlyPaths: string[];
    sysctl?: Record<string, string>;
  };
}

const caps = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID", "CAP_NET_RAW"];
const console = "- devpts devpts rw,gid=5,mode=620,ptmxmode=666";
const quiet = ["nosuid", "noexec", "nodev"];
const mapped = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

function mount(destination: string, type: string, source: string, options: string[]): Mount {
  return { destination, type, source, options };
}

export function baseSpec(root: string, runtime: string, command: string): Spec {
  return {
    ociVersion: "1.2.0",
    annotations: { "a3s.runtime": runtime },
    root: { path: root, readonly: false },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0, additionalGids: [0] },
      args: ["/bin/busybox", "sh", "-c", command],
      env: ["PATH=/bin", "HOME=/root", "A=b c"],
      cwd: "/",
      capabilities: { bounding: caps, effective: caps, permitted: caps, inheritable: [], ambient: [] },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 4096 }],
      noNewPrivileges: false,
    },
    mounts: [
      mount("/proc", "proc", "proc", quiet),
      mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      mount("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
      mount("/dev/mqueue", "mqueue", "mqueue", quiet),
      mount("/sys", "sysfs", "sysfs", [...quiet, "ro"]),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", [...quiet, "relatime", "ro"]),
      mount("/tmp", "tmpfs", "tmpfs", ["nosuid", "nodev", "mode=1777"]),
    ],
    linux: {
      namespaces: ["pid", "mount", "ipc", "uts", "cgroup"].map((type) => ({ type })),
      resources: {},
      maskedPaths: [],
      readonlyPaths: [],
    },
  };
}

function asUser(spec: Spec): void {
  spec.process.user = { uid: 1000, gid: 1001, additionalGids: [5, 1002], umask: 0o027 };
}

function nullOf(owner: string): NonNullable<Bundle["differs"]> {
  return { own: ["crw-rw-rw- 0 0 null"], crun: [`crw-rw-rw- ${owner} null`] };
}

/** Everything busybox can show of what the process got. */
export const bundles: readonly Bundle[] = [
  { name: "the plain one" },
  {
    name: "a user with groups and a umask",
    change: asUser,
    print: "touch /tmp/x; b ls -ln /tmp/x | b cut -c1-40",
    differs: nullOf("1000 1001"),
  },
  {
    name: "no capabilities",
    change: ({ process }) => {
      process.capabilities = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
    },
  },
  {
    name: "ambient capabilities of a user",
    change: (spec) => {
      asUser(spec);
      const some = ["CAP_NET_RAW", "CAP_CHOWN"];
      spec.process.capabilities = {
        bounding: caps,
        effective: some,
        permitted: some,
        inheritable: some,
        ambient: some,
      };
    },
    differs: nullOf("1000 1001"),
  },
  { name: "no_new_privs", change: ({ process }) => (process.noNewPrivileges = true) },
  {
    name: "limits",
    change: ({ process }) =>
      process.rlimits.push(
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
        { type: "RLIMIT_NPROC", soft: 50, hard: 60 },
        { type: "RLIMIT_STACK", soft: 1 << 20, hard: 1 << 21 },
        { type: "RLIMIT_MEMLOCK", soft: 65_536, hard: 65_536 },
      ),
  },
  {
    name: "an OOM score",
    change: ({ process }) => (process.oomScoreAdj = 985),
    print: "b cat /proc/self/oom_score_adj",
  },
  { name: "a directory that is not there", change: ({ process }) => (process.cwd = "/made/for/me"), print: "b pwd" },
  { name: "a read-only root", change: ({ root }) => (root.readonly = true), print: "b touch /x 2>&1" },
  {
    name: "masked and read-only paths",
    change: ({ linux }) => {
      linux.maskedPaths = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware", "/no/such"];
      linux.readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/no/such"];
    },
    print: "b wc -c /proc/kcore; b ls /sys/firmware | b wc -l; b cat /proc/timer_list | b wc -l",
  },
  { name: "a host name", change: (spec) => (spec.hostname = "inside"), print: "b hostname" },
  {
    name: "sysctls",
    change: ({ linux }) => (linux.sysctl = { "kernel.shm_rmid_forced": "1", "kernel.msgmax": "4096" }),
    print: "b cat /proc/sys/kernel/shm_rmid_forced /proc/sys/kernel/msgmax",
  },
  {
    name: "its own network",
    change: ({ linux }) => {
      linux.namespaces.push({ type: "network" });
      linux.sysctl = { "net.ipv4.ip_unprivileged_port_start": "80" };
    },
    print: "b cat /proc/sys/net/ipv4/ip_unprivileged_port_start; b ls /sys/class/net",
  },
  {
    name: "the guest's pid, ipc and uts",
    change: ({ linux }) => (linux.namespaces = [{ type: "mount" }, { type: "cgroup" }]),
  },
  {
    name: "namespaces of another process",
    change: ({ linux }) => {
      linux.namespaces = [
        { type: "mount" },
        { type: "cgroup" },
        ...["pid", "ipc", "uts"].map((type) => ({ type, path: `/proc/1/ns/${type}` })),
      ];
    },
  },
  {
    name: "memory, pids and CPU",
    change: ({ linux }) =>
      (linux.resources = {
        memory: { limit: 64 << 20, reservation: 16 << 20 },
        pids: { limit: 33 },
        cpu: { quota: 50_000, period: 100_000, cpus: "0", mems: "0" },
      }),
  },
  {
    name: "unified limits",
    change: ({ linux }) => (linux.resources = { unified: { "memory.high": "33554432", "cpu.weight": "77" } }),
  },
  {
    name: "huge pages",
    change: ({ linux }) => (linux.resources = { hugepageLimits: [{ pageSize: "2MB", limit: 4 << 20 }] }),
    print: "b cat /sys/fs/cgroup/hugetlb.2MB.max",
  },
  {
    name: "device rules",
    change: ({ linux }) =>
      (linux.resources = {
        devices: [
          { allow: false, access: "rwm" },
          { allow: true, type: "c", access: "m" },
          { allow: true, type: "c", major: 1, minor: 5, access: "r" },
        ],
      }),
    print:
      "cd /dev; for d in 'mem c 1 1' 'kmsg c 1 11' 'disk b 254 0'; do b mknod /dev/t-${d%% *} ${d#* } 2>&1 && " +
      "b head -c 1 /dev/t-${d%% *} 2>&1 | b wc -c; done; b head -c 3 /dev/zero | b wc -c; echo x > /dev/null && echo ok",
    differs: { own: ["mknod: /dev/t-disk: Operation not permitted"], crun: [] },
  },
  {
    name: "more devices",
    change: ({ linux }) =>
      (linux.devices = [
        { path: "/dev/extra/ram", type: "c", major: 1, minor: 5, fileMode: 0o640, uid: 7, gid: 8 },
        { path: "/dev/pipe", type: "p" },
      ]),
    print: "b ls -ln /dev/extra/ram /dev/pipe | b cut -c1-50",
  },
  {
    name: "binds, read-only and not",
    change: ({ mounts }) =>
      mounts.push(
        mount("/shm/here", "bind", "/run/a3s/shm", ["rbind", "rprivate", "rw"]),
        mount("/shm/there", "bind", "/run/a3s/shm", ["bind", "ro", "noexec"]),
        mount("/shm/null", "bind", "/dev/null", ["bind"]),
      ),
    print: "b touch /shm/there/x 2>&1; b touch /shm/here/x && echo ok",
  },
  {
    name: "a recursive read-only bind",
    change: ({ mounts }) => mounts.push(mount("/guest", "bind", "/run", ["rbind", "rro"])),
    print: "b touch /guest/a3s/shm/y 2>&1; b touch /guest/y 2>&1",
  },
  {
    name: "a tmpfs with options",
    change: ({ mounts }) => mounts.push(mount("/scratch", "tmpfs", "tmpfs", ["noexec", "size=1m", "mode=700"])),
    print: "b ls -ld /scratch | b cut -c1-10",
  },
  { name: "a slave root", change: ({ linux }) => (linux.rootfsPropagation = "rslave") },
  {
    name: "a link that leads out of the root",
    change: ({ mounts, process }) => {
      mounts.splice(6, 0, mount("/trap", "tmpfs", "tmpfs", []));
      mounts.push(mount("/deep/../../../etc/x", "bind", "/dev/null", ["bind"]));
      process.cwd = "/tmp/../tmp";
    },
    print: "b pwd; b ls /etc",
  },
  {
    name: "a user namespace",
    change: ({ linux, mounts, process }) => {
      linux.namespaces.push({ type: "user" });
      linux.uidMappings = mapped;
      linux.gidMappings = mapped;
      mounts[4] = mount("/sys", "bind", "/sys", ["rbind", "ro"]);
      process.user = { uid: 3, gid: 4, additionalGids: [5] };
    },
    print: "b cat /proc/self/uid_map; echo x > /dev/null && echo ok",
    differs: {
      own: ["crw-rw-rw- 65534 65534 null"],
      crun: [
        "/ /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,size=4k,nr_inodes=1,uid=100000,gid=100000",
        "crw-rw-rw- 3 4 null",
      ],
    },
  },
  {
    name: "mapped ids of a mount",
    change: ({ mounts }) =>
      mounts.push({
        ...mount("/mapped", "bind", "/run/a3s/shm", ["bind", "idmap"]),
        uidMappings: [{ containerID: 0, hostID: 7000, size: 1000 }],
        gidMappings: [{ containerID: 0, hostID: 7000, size: 1000 }],
      }),
    print: "b ls -ldn /mapped | b cut -c11-40",
  },
  {
    name: "a terminal",
    change: ({ process }) => (process.terminal = true),
    print: "b tty; b ls -ln /dev/console",
    differs: {
      own: [`/0 /dev/console rw,nosuid,noexec,relatime ${console}`],
      crun: [`/0 /dev/console rw,relatime ${console}`],
    },
  },
  {
    name: "a directory behind a descriptor",
    change: ({ process }) => (process.cwd = "/proc/self/fd/7"),
    refused: "both",
  },
  { name: "the runtime itself", change: ({ process }) => (process.args = ["/proc/self/exe"]), refused: "own" },
  { name: "a missing program", change: ({ process }) => (process.args = ["no-such"]), refused: "both" },
  { name: "a program that is a directory", change: ({ process }) => (process.args = ["/bin"]), refused: "both" },
  {
    name: "a missing source",
    change: ({ mounts }) => mounts.push(mount("/x", "bind", "/no/such", ["bind"])),
    refused: "both",
  },
  {
    name: "a capability that is none",
    change: ({ process }) => (process.capabilities = { ...process.capabilities, bounding: ["CAP_FLY"] }),
    refused: "own",
  },
];

/** A shell line whose output is what the kernel says about the process that runs it. */
export function seen(print = "true"): string {
  return [
    'b() { /bin/busybox "$@"; }',
    "b cat /proc/$$/status | b grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Seccomp_filters|Umask|NSpid|SigBlk|SigIgn)'",
    "b sed 's/^[^ ]* //' /proc/$$/limits",
    "b env | b grep -v '^\\(_\\|PWD\\|SHLVL\\|OLDPWD\\)='",
    'b awk \'{ $1 = ""; $2 = ""; $3 = ""; print }\' /proc/self/mountinfo',
    "b cat /proc/self/cgroup",
    "for f in cpu.max cpu.weight memory.max memory.low memory.high pids.max cpuset.cpus; do b cat /sys/fs/cgroup/$f; done 2>&1",
    "b ls -ln /dev | b awk '{ print $1, $3, $4, $NF }'",
    "b ls /proc/self/fd | b wc -l",
    print,
  ].join("\n");
}
