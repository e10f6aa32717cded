import { type Command, configFlagDetails } from "./command.js";

const imageSynopsis = "[--config FILE] [--root DIR] [--state DIR] [--json]";
const imageDetails: readonly string[] = [
  ...configFlagDetails,
  "--json          as JSON",
  "",
  "Works on the image store itself: with and without a running daemon, which sees the change at once.",
];

/** Every command. What each needs is loaded when it runs: `--help` and `config default` start at once. */
export const commands: readonly Command[] = [
  {
    name: "serve",
    synopsis:
      "[--config FILE] [--root DIR] [--state DIR] [--listen URL] [--driver NAME] [--network NAME] [--metrics ADDRESS]",
    about: "serve CRI: the daemon",
    details: [...configFlagDetails, "--metrics IP:PORT  where /metrics and /healthz are served (default nowhere)"],
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
