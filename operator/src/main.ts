import { loadKubeConfig } from "./kube/client.js";
import { messageOf } from "./kube/error.js";
import { runOperator } from "./operator.js";
import { parseOptions, usage, type Options } from "./options.js";
import { createLog } from "./runtime/log.js";

const log = createLog((line) => process.stdout.write(line));

function optionsOrEnd(): Options | undefined {
  try {
    const options = parseOptions(process.argv.slice(2), process.env);
    if (options === undefined) process.stdout.write(usage);
    return options;
  } catch (thrown) {
    process.stderr.write(`${messageOf(thrown)}\n${usage}`);
    process.exitCode = 2;
    return undefined;
  }
}

const options = optionsOrEnd();
if (options !== undefined) {
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      log.info("the operator ends", { signal });
      stopping.abort();
    });
  }
  try {
    const isWell = await runOperator(loadKubeConfig(options.kubeconfig), options, log, stopping.signal);
    process.exit(isWell ? 0 : 1);
  } catch (thrown) {
    log.warn("the operator can't run", { error: messageOf(thrown) });
    process.exit(1);
  }
}
