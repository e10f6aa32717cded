#!/usr/bin/env node
import { errnoOf } from "./base/errors.js";
import { runCommandLine } from "./cli/run-command-line.js";

// Who reads no further (`| head`) has what he wanted.
process.stdout.on("error", (thrown) => {
  if (errnoOf(thrown) !== "EPIPE") throw thrown;
});
process.exitCode = await runCommandLine(process.argv.slice(2));
