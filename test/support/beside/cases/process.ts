/** What a process is and may. */
import {
  NamespaceMode,
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
} from "../../../../src/gen/runtime/v1/api.js";
import { container, type Case } from "../case.js";

/** Of the shell that is the container's program, not of what it starts. Each program takes its time under emulation. */
const self = `
echo @@status; cat /proc/1/status
echo @@directory; readlink /proc/1/cwd
echo @@words argv; cat /proc/1/cmdline
echo; echo @@words env; cat /proc/1/environ
echo; echo @@id; id
`;
const more = `
echo @@stat; awk '{print "ppid="$4, "group="$5, "session="$6, "tty="$7, "foreground="$8, "priority="$18, "nice="$19, "rt="$40, "policy="$41}' /proc/1/stat
echo @@limits; cat /proc/1/limits
echo @@loginuid; cat /proc/1/loginuid 2>&1; echo
echo @@personality; cat /proc/1/personality
echo @@dumpable; stat -c %u:%g /proc/1/status
echo @@coredump filter; cat /proc/1/coredump_filter
`;
const fds = `
echo @@each fd; for n in 0 1 2; do echo "$n $(ls -lan /proc/1/fd/$n | cut -c1-10) $(readlink /proc/1/fd/$n | sed 's/:.*//')"; done
`;
const end = "echo @@end\n";

export const processCases: readonly Case[] = [
  container("a process", { probe: `${self}${more}${fds}\n${end}` }),
  // a shell blocks signals and opens files of its own for moments: other programs tell what they were given
  container("signals", {
    part: {
      command: [
        "awk",
        'BEGIN { print "@@signals" } /^(Sig(Blk|Ign)|ShdPnd)/ { print } END { print "@@end" }',
        "/proc/self/status",
      ],
    },
  }),
  container("descriptors", { part: { command: ["ls", "/proc/self/fd"] }, raw: "descriptors" }),
  container("an exec", {
    probe: "echo @@ready; exec sleep 1000",
    part: {
      envs: [{ key: "A", value: Buffer.from("b c") }],
      workingDir: "/tmp",
      command: ["sh", "-c", "echo @@ready; exec sleep 1000"],
    },
    execs: {
      sees: [
        "sh",
        "-c",
        `${self.replaceAll("/proc/1/", "/proc/$$$$/")}${more.replaceAll("/proc/1/", "/proc/$$$$/").replace(/"ppid="\$4, "group="\$5, "session="\$6, /, "")}${fds.replaceAll("/proc/1/", "/proc/$$$$/")}`,
      ],
      leads: ["sh", "-c", `awk '{print ($1==$5), ($1==$6), $4}' /proc/$$/stat`],
      processes: ["sh", "-c", "ps -o pid,ppid,pgid,sid,comm | grep ' sleep$'"],
      signals: ["grep", "-E", "^(Sig(Blk|Ign)|ShdPnd)", "/proc/self/status"],
      descriptors: ["ls", "/proc/self/fd"],
      code: ["sh", "-c", "exit 3"],
      signal: ["sh", "-c", "kill -9 $$"],
      term: ["sh", "-c", "kill -15 $$"],
      both: ["sh", "-c", "echo out; echo err >&2; exit 1"],
      nothing: ["true"],
      missing: ["no-such-program"],
      "missing path": ["/no/such/program"],
      "not executable": ["/bin/not-executable"],
      "not a program": ["/bin/not-a-program"],
      "no interpreter": ["/bin/no-interpreter"],
      "other architecture": ["/bin/other-architecture"],
      "a directory": ["/bin"],
      "empty file": ["/bin/empty"],
      relative: ["./bin/true"],
      empty: [""],
      none: [],
      "stdin is": ["sh", "-c", "readlink /proc/self/fd/0; cat; echo $?"],
    },
  }),
  container("a terminal", {
    part: { tty: true, stdin: true },
    probe: `${self}${more}${fds}
echo @@terminal; tty; stty -a 2>&1 | head -20; stat -c '%a %u:%g %F' /dev/console $(tty)
${end}`,
  }),
  container("standard input", {
    part: { stdin: true, stdinOnce: true, command: ["sh", "-c", `${fds}echo @@ready; sleep 1000`] },
    execs: { "stdin of init": ["sh", "-c", "readlink /proc/1/fd/0 | cut -d: -f1"] },
  }),
  container("a user", {
    security: { runAsUser: { value: 1000n } },
    probe: `${self}${fds}\necho @@write; (echo x > /dev/stdout; echo y > /proc/self/fd/1; echo z >/dev/stderr) 2>&1\n${end}`,
  }),
  container("a user without an account", { security: { runAsUser: { value: 12345n } }, probe: `${self}\n${end}` }),
  container("a user and a group", {
    security: { runAsUser: { value: 1000n }, runAsGroup: { value: 2000n }, supplementalGroups: [3000n, 4000n, 3000n] },
    probe: `${self}\n${end}`,
    wholeStatus: true,
  }),
  container("a user by name", { security: { runAsUsername: "user" }, probe: `${self}\n${end}` }),
  container("a user by name and a group", {
    security: { runAsUsername: "user", runAsGroup: { value: 7n } },
    probe: `${self}\n${end}`,
  }),
  container("groups of the request alone", {
    security: {
      runAsUser: { value: 1000n },
      supplementalGroups: [5n],
      supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict,
    },
    probe: `${self}\n${end}`,
  }),
  container("image user uid:gid", { image: "user-group", probe: `${self}\n${end}`, wholeStatus: true }),
  container("image user name:group", { image: "user-names", probe: `${self}\n${end}` }),
  container("image user without an account", { image: "user-uid", probe: `${self}\n${end}` }),
  container("image without accounts", { image: "no-accounts", probe: `${self}\n${end}` }),
  container("image without accounts, user 0", {
    image: "no-accounts",
    security: { runAsUser: { value: 0n } },
    probe: `${self}\n${end}`,
  }),
  container("image with a config", {
    image: "with-config",
    part: { args: [`${self}\n${end}`], command: [] },
    wholeStatus: true,
  }),
  container("a command over the image's", {
    image: "with-config",
    part: {
      command: ["sh"],
      args: ["-c", `${self}\n${end}`],
      envs: [
        { key: "FIRST", value: Buffer.from("of the pod") },
        { key: "NEW", value: Buffer.from("a=b") },
        { key: "HOME", value: Buffer.from("/somewhere") },
      ],
    },
  }),
  container("the image's command", { image: "with-config", part: { command: [], args: [] } }),
  container("image without environment", { image: "no-env", probe: `${self}${end}` }),
  container("environment of the request", {
    probe: `${self}${end}`,
    part: {
      command: ["sh", "-c", `${self}${end}`],
      envs: [
        ["B", "2"],
        ["A", "1"],
        ["B", "3"],
        ["PATH", "/bin"],
        ["EMPTY", ""],
        ["LINES", "a\tb"],
        ["HOSTNAME", "mine"],
        ["TERM", "dumb"],
      ].map(([key = "", value = ""]) => ({ key, value: Buffer.from(value) })),
    },
  }),
  container("directory that is not there", {
    part: {
      workingDir: "/made/for/it",
      command: ["sh", "-c", `echo @@directory; pwd; stat -c '%a %u:%g' . .. ../..; \n${end}`],
    },
    security: { runAsUser: { value: 1000n } },
  }),
  container("directory that is closed to the user", {
    part: {
      workingDir: "/closed/directory",
      command: ["sh", "-c", `echo @@directory; pwd; stat -c '%a %u:%g' . 2>&1\n${end}`],
    },
    security: { runAsUser: { value: 1000n } },
  }),
  container("directory through a link", {
    part: {
      workingDir: "/directory-link",
      command: ["sh", "-c", `echo @@directory; pwd; readlink /proc/self/cwd\n${end}`],
    },
  }),
  container("directory through a dangling link", {
    part: {
      workingDir: "/dangling-link/x",
      command: ["sh", "-c", `echo @@directory; pwd; readlink /proc/self/cwd; ls -d /not/there\n${end}`],
    },
  }),
  container("directory with dots", {
    part: {
      workingDir: "/tmp/../home/./user/",
      command: ["sh", "-c", `echo @@directory; pwd; readlink /proc/self/cwd; echo $PWD\n${end}`],
    },
  }),
  container("relative directory", {
    part: { workingDir: "tmp", command: ["sh", "-c", `echo @@directory; pwd\n${end}`] },
  }),
  container("relative directory of the image", { image: "relative-directory", probe: `echo @@directory; pwd\n${end}` }),
  container("capability added, others dropped", {
    security: { capabilities: { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["ALL"] } },
    probe: `${self}${end}`,
  }),
  container("capabilities all added, one dropped", {
    security: { capabilities: { addCapabilities: ["ALL"], dropCapabilities: ["CAP_SYS_MODULE"] } },
    probe: `${self}${end}`,
  }),
  container("capabilities of a user", {
    security: {
      runAsUser: { value: 1000n },
      capabilities: { addCapabilities: ["net_admin"], dropCapabilities: ["KILL"] },
    },
    probe: `${self}${end}`,
  }),
  container("ambient capability", {
    security: { runAsUser: { value: 1000n }, capabilities: { addAmbientCapabilities: ["NET_BIND_SERVICE"] } },
    probe: `${self}${end}`,
  }),
  container("capability that there is not", {
    security: { capabilities: { addCapabilities: ["NO_SUCH"] } },
    probe: `${self}${end}`,
  }),
  container("no new privileges, default seccomp", {
    security: { noNewPrivs: true, seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault } },
    probe: `${self}${end}`,
  }),
  container("default seccomp of a user", {
    security: { runAsUser: { value: 1000n }, seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault } },
    probe: `${self}
echo @@refused; for one in 'unshare -U true' 'mount -t tmpfs x /tmp' 'chroot / true' 'hostname x'; do $one 2>&1; echo $?; done\n${end}`,
  }),
  container("privileged", {
    security: { privileged: true, maskedPaths: [], readonlyPaths: [] },
    probe: `${self}${end}`,
  }),
  container("oom score", {
    resources: { oomScoreAdj: 500n },
    probe: `echo @@oom; cat /proc/1/oom_score_adj; cat /proc/self/oom_score_adj\n${end}`,
  }),
  container("negative oom score", {
    resources: { oomScoreAdj: -500n },
    probe: `echo @@oom; cat /proc/1/oom_score_adj; cat /proc/self/oom_score_adj\n${end}`,
  }),
  container("processes of the pod", {
    security: { namespaceOptions: { pid: NamespaceMode.POD } },
    probe: `echo @@first; tr '\\0' ' ' </proc/1/cmdline; echo; echo @@mine; echo $(($$ > 1)); ${end}`,
  }),
];
