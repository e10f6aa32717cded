import { type Command, configFlagDetails } from "./command.js";

/** Every command. What each needs is loaded when it runs: `--help` and `config default` start at once. */
export const commands: readonly Command[] = [
  {
    name: "serve",
    synopsis: "[--config FILE] [--root DIR] [--state DIR] [--listen URL] [--driver NAME]",
    about: "serve CRI: the daemon",
    details: configFlagDetails,
    run: async (args) => await (await import("./serve.js")).serve(args),
  },
  {
    name: "check",
    synopsis: "[--config FILE] [--driver NAME]",
    about: "tell what this machine can do, and how to get what is missing",
    details: [...configFlagDetails, "", "Exit status 0: Boxes can be run. 1: something needed is missing."],
    run: async (args) => await (await import("./check.js")).check(args),
  },
  {
    name: "image import",
    synopsis: "[--config FILE] [--root DIR] [--state DIR] FILE",
    about: "bring in images from an OCI layout tar or a docker-archive tar, plain or gzip",
    details: configFlagDetails,
    run: async (args) => await (await import("./image.js")).imageImport(args),
  },
  {
    name: "image list",
    synopsis: "[--config FILE] [--root DIR] [--state DIR] [--json]",
    about: "list the images",
    details: [...configFlagDetails, "--json          as one JSON array"],
    run: async (args) => await (await import("./image.js")).imageList(args),
  },
  {
    name: "config default",
    synopsis: "",
    about: "print the default configuration with comments",
    details: [],
    run: async (args) => await (await import("./config-default.js")).configDefault(args),
  },
];
