import { sidecarUrl } from "../config/sidecar-url.js";
import { type Command, configFlagDetails } from "./command.js";

const imageSynopsis = "[--config FILE] [--root DIR] [--state DIR] [--json]";
const imageDetails: readonly string[] = [
  ...configFlagDetails,
  "--json          as JSON",
  "",
  "Works on the image store itself: with and without a running daemon, which sees the change at once.",
];

const endpointDetails: readonly string[] = [
  "--endpoint ADDRESS  unix://PATH or HOST:PORT (default A3S_BOX_ENDPOINT, else the node's socket, else localhost:4088)",
  "",
  "A token is taken from A3S_BOX_TOKEN, or from the file A3S_BOX_TOKEN_FILE.",
];

const programDetails: readonly string[] = [
  "-i, --interactive   what is typed goes to the program",
  "-t, --tty           it has a terminal, as wide as this one",
  "-e, --env K=V       (K: this process's)    -u, --user USER    -w, --workdir DIR",
  "-d, --detach        do not wait for it",
];

/** Every command. What each needs is loaded when it runs: `--help` and `config default` start at once. */
export const commands: readonly Command[] = [
  {
    name: "serve",
    synopsis:
      "[--config FILE] [--root DIR] [--state DIR] [--listen URL] [--driver NAME] [--network NAME] [--metrics ADDRESS] [--sandboxes [URL]] [--cri on|off]",
    about: "serve CRI, and sandboxes for agents: the daemon",
    details: [
      ...configFlagDetails,
      "--metrics IP:PORT  where /metrics and /healthz are served (default nowhere)",
      `--sandboxes [URL]  where sandboxes for agents are served: tcp://IP:PORT or unix:///PATH (default ${sidecarUrl},`,
      "                   and nowhere without the flag)",
      "--cri off          without CRI: where there is no kubelet",
    ],
    run: async (args) => await (await import("./serve.js")).serve(args),
  },
  {
    name: "check",
    synopsis: "[--config FILE] [--driver NAME] [--running [--json]]",
    about: "tell what this machine can do, and how to get what is missing",
    details: [
      ...configFlagDetails,
      "--running       compare records with processes, mounts, namespaces, cgroups and folders instead, and name",
      "                each orphan; changes nothing, with or without a daemon",
      "--json          that, as JSON",
      "",
      "Exit status 0: Boxes can be run (--running: all is as the records have it). 1: something is missing or left over.",
    ],
    run: async (args) => await (await import("./check.js")).check(args),
  },
  {
    name: "image pull",
    synopsis: `${imageSynopsis} REF`,
    about: "pull an image, with a progress bar per layer on a terminal",
    details: imageDetails,
    run: async (args) => await (await import("./image/pull.js")).imagePull(args),
  },
  {
    name: "image list",
    synopsis: imageSynopsis,
    about: "list the images",
    details: imageDetails,
    run: async (args) => await (await import("./image/list.js")).imageList(args),
  },
  {
    name: "image inspect",
    synopsis: `${imageSynopsis} REF`,
    about: "show an image; with --json its whole config, and the containers that use it",
    details: imageDetails,
    run: async (args) => await (await import("./image/inspect.js")).imageInspect(args),
  },
  {
    name: "image rm",
    synopsis: `${imageSynopsis} REF…`,
    about: "remove images, each with all its names, as CRI does",
    details: imageDetails,
    run: async (args) => await (await import("./image/rm.js")).imageRm(args),
  },
  {
    name: "image prune",
    synopsis: imageSynopsis,
    about: "remove every image that no container uses and that isn't pinned",
    details: imageDetails,
    run: async (args) => await (await import("./image/prune.js")).imagePrune(args),
  },
  {
    name: "image import",
    synopsis: `${imageSynopsis} FILE`,
    about: "bring in images from an OCI layout tar or a docker-archive tar, plain or gzip",
    details: imageDetails,
    run: async (args) => await (await import("./image/import.js")).imageImport(args),
  },
  {
    name: "image export",
    synopsis: `${imageSynopsis} FILE REF…`,
    about: "write images with all their names into an OCI layout tar",
    details: imageDetails,
    run: async (args) => await (await import("./image/export.js")).imageExport(args),
  },
  {
    name: "install",
    synopsis: "[--destination DIR]",
    about: "put the systemd unit, a configuration, and snippets for kubelet and crictl in place",
    details: ["--destination DIR  root of the file system to put them into (default /)"],
    run: async (args) => await (await import("./install.js")).install(args),
  },
  {
    name: "uninstall",
    synopsis: "[--destination DIR] [--purge]",
    about: "take away what install has put in place; images, records and pods stay",
    details: ["--destination DIR  as for install", "--purge            the configuration as well"],
    run: async (args) => await (await import("./uninstall.js")).uninstall(args),
  },
  {
    name: "run",
    synopsis: "[-it] [-d] [--rm] [-v DIR:DIR] [-e K=V] [-p PORT] TEMPLATE|IMAGE [PROGRAM ARGUMENT…]",
    about: "make a sandbox and run a program in it; its exit status is the program's",
    details: [
      ...programDetails,
      "--rm                end the sandbox with the program",
      "--name NAME         by which the other commands find it",
      "-v DIR:DIR[:ro]     a directory of the node, where the configuration allows it",
      "-p [LOCAL:]PORT     a port of this machine's loopback that leads to one of the sandbox, while the command runs",
      "--cpus N  --memory SIZE  --disk SIZE  --network none|pod",
      "--timeout TIME      the sandbox ends then (90s, 10m, 2h)    --idle TIME  it ends when nobody has used it for so long",
      "",
      "Without a program the image's own runs; arguments that begin with - go to that.",
      "",
      ...endpointDetails,
    ],
    run: async (args) => await (await import("./client/run.js")).run(args),
  },
  {
    name: "exec",
    synopsis: "[-it] [-d] [-e K=V] SANDBOX PROGRAM [ARGUMENT…]",
    about: "run one more program in a sandbox",
    details: [...programDetails, "", ...endpointDetails],
    run: async (args) => await (await import("./client/exec.js")).exec(args),
  },
  {
    name: "ps",
    synopsis: "[-q] [--json]",
    about: "list the sandboxes",
    details: ["-q, --quiet         ids alone", "--json              as JSON", "", ...endpointDetails],
    run: async (args) => await (await import("./client/ps.js")).ps(args),
  },
  {
    name: "egress",
    synopsis: "[--allow-out WHAT]… [--deny-out WHAT]… [--json] SANDBOX",
    about: "what a sandbox may reach and what it was kept from; with rules: these from now on",
    details: [
      "--allow-out WHAT    addresses, ranges and names (192.0.2.0/24, *.example.org), with commas; nothing else then",
      "--deny-out WHAT     addresses and ranges (0.0.0.0/0: all)",
      "--json              as JSON",
      ...endpointDetails,
    ],
    run: async (args) => await (await import("./client/egress.js")).egress(args),
  },
  {
    name: "logs",
    synopsis: "[-f] [--process N] SANDBOX",
    about: "show what run's program has written, as far as it is kept",
    details: [
      "-f, --follow        and what it writes from now on",
      "--process N         of another process of the sandbox",
      "",
      ...endpointDetails,
    ],
    run: async (args) => await (await import("./client/logs.js")).logs(args),
  },
  {
    name: "cp",
    synopsis: "[-u USER] PATH SANDBOX:PATH | SANDBOX:PATH PATH",
    about: "copy files and directories to a sandbox or from it",
    details: ["-u, --user USER     whose files they are there", "", ...endpointDetails],
    run: async (args) => await (await import("./client/cp.js")).cp(args),
  },
  {
    name: "stop",
    synopsis: "[-t SECONDS] SANDBOX…",
    about: "ask the programs of sandboxes to end (SIGTERM), and end the sandboxes",
    details: ["-t, --time SECONDS  how long they are waited for (default 10)", "", ...endpointDetails],
    run: async (args) => await (await import("./client/end.js")).stop(args),
  },
  {
    name: "rm",
    synopsis: "[-a] SANDBOX…",
    about: "end sandboxes at once, with all that is in them",
    details: ["-a, --all           all of the caller's", "", ...endpointDetails],
    run: async (args) => await (await import("./client/end.js")).rm(args),
  },
  {
    name: "port-forward",
    synopsis: "SANDBOX [LOCAL:]PORT…",
    about: "ports of this machine's loopback that lead into a sandbox",
    details: endpointDetails,
    run: async (args) => await (await import("./client/port-forward.js")).portForward(args),
  },
  {
    name: "forward",
    synopsis: "[LOCAL:]PORT",
    about: "the endpoint's Unix socket as a port of this machine's loopback, for SDKs that know none",
    details: endpointDetails,
    run: async (args) => await (await import("./client/forward.js")).forward(args),
  },
  {
    name: "mcp",
    synopsis: "[--endpoint ADDRESS]",
    about: "the tools of a daemon's sandboxes on standard input and output (Model Context Protocol)",
    details: endpointDetails,
    run: async (args) => await (await import("./client/mcp.js")).mcp(args),
  },
  {
    name: "debug bundle",
    synopsis: "[--config FILE] [--root DIR] [--state DIR] [--output FILE]",
    about: "gather what a bug report needs, without secrets, in a tar.gz",
    details: [...configFlagDetails, "--output FILE   default a3s-box-debug-<time>.tar.gz in the present folder"],
    run: async (args) => await (await import("./debug/bundle.js")).debugBundle(args),
  },
  {
    name: "config default",
    synopsis: "",
    about: "print the default configuration with comments",
    details: [],
    run: async (args) => await (await import("./config-default.js")).configDefault(args),
  },
];
