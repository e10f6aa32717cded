#!/usr/bin/env node
// Imports nothing else: what is run has all other modules in its bundle.
import { runCommandLine } from "./cli/run-command-line.js";

// Who reads no further (`| head`) has what he wanted.
process.stdout.on("error", (thrown: Error) => {
  if (!("code" in thrown) || thrown.code !== "EPIPE") throw thrown;
});
process.exitCode = await runCommandLine(process.argv.slice(2));
