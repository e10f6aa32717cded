import { AtEnd, Network, SandboxServiceService as service, type Sandbox } from "../../gen/sandboxes/v1/sandboxes.js";
import { ProcessServiceService as processes } from "../../gen/sandboxes/v1/processes.js";
import { exitStatus, parseFlags, print, splitAtFirstWord, usageError } from "../command.js";
import type { Edge } from "./connect.js";
import { createShown } from "./create.js";
import { durationMs, edgeOf, egressFlags, egressSaid, envOf, mebibytes, programFlags, wholeNumber } from "./flags.js";
import { nameKey } from "./find-sandbox.js";
import { forwardPorts, portsOf } from "./forward-ports.js";
import { programOf } from "./program.js";
import { runProcess } from "./run-process.js";

/** The tag of what `run` has started: `logs` shows it where nothing else is said. */
export const mainTag = "main";

export const runFlags = {
  ...programFlags,
  rm: { type: "boolean" },
  name: { type: "string" },
  volume: { type: "string", short: "v", multiple: true },
  publish: { type: "string", short: "p", multiple: true },
  cpus: { type: "string" },
  memory: { type: "string", short: "m" },
  disk: { type: "string" },
  network: { type: "string" },
  ...egressFlags,
  timeout: { type: "string" },
  idle: { type: "string" },
} as const;

const mostVcpus = 1024;

/**
 * `run`: a sandbox from a template or an image, and a program in it, whose exit status is the command's. Without a program:
 * the image's own; with one that begins with "-": the image's own with these arguments.
 */
export async function run(args: string[]): Promise<number> {
  const { flags, words } = splitAtFirstWord(args, runFlags);
  const { values } = parseFlags({ args: flags, options: runFlags });
  const [template, ...program] = words;
  if (template === undefined) throw usageError("run: which template or image?");
  if (values.detach === true && values.rm === true)
    throw usageError("run: -d and --rm can't be together: who would wait?");
  using edge = await edgeOf(values);
  const sandbox = await createShown(edge, requestOf(template, values), process.stderr);
  const its = { begun: false };
  try {
    return await runIn(edge, sandbox, program, values, () => {
      its.begun = true;
    });
  } catch (thrown) {
    // What was asked for is not there: neither is its sandbox. A program that has begun goes on without us.
    if (!its.begun || values.rm === true) await end(edge, sandbox);
    else process.stderr.write(`a3s-box: sandbox ${sandbox.id} goes on: \`logs -f\` takes its program up again\n`);
    throw thrown;
  }
}

type RunValues = ReturnType<typeof parseFlags<{ options: typeof runFlags }>>["values"];

async function runIn(
  edge: Edge,
  sandbox: Sandbox,
  program: readonly string[],
  values: RunValues,
  started: () => void,
): Promise<number> {
  const start = programOf(sandbox.id, argsOf(program, sandbox), values, mainTag);
  await using ports = await forwardPorts(edge, sandbox.id, portsOf(values.publish ?? []));
  if (values.detach === true) {
    if (ports.count > 0) throw usageError("run: -p lasts as long as the command: use port-forward with -d");
    await edge.call(processes.startProcess, start);
    print(`${sandbox.id}\n`);
    return exitStatus.ok;
  }
  const status = await runProcess(edge, start, values.interactive === true, started);
  if (values.rm === true) await end(edge, sandbox);
  return status;
}

function argsOf(program: readonly string[], { command, image }: Sandbox): readonly string[] {
  const [first] = program;
  if (first !== undefined && !first.startsWith("-")) return program;
  if (command.length === 0) throw usageError(`run: ${image} has no program of its own: name one after it`);
  return [...command, ...program];
}

async function end(edge: Edge, { id }: Sandbox): Promise<void> {
  await edge.call(service.endSandbox, { sandboxId: id }).catch(() => undefined);
}

function requestOf(template: string, values: RunValues) {
  return {
    template,
    env: envOf(values.env),
    mounts: (values.volume ?? []).map(mountOf),
    metadata: values.name === undefined ? {} : { [nameKey]: values.name },
    network: networkOf(values.network),
    egress: egressSaid(values),
    atEnd: AtEnd.UNSPECIFIED,
    vcpus: values.cpus === undefined ? undefined : wholeNumber("cpus", values.cpus, mostVcpus),
    memoryMib: values.memory === undefined ? undefined : mebibytes("memory", values.memory),
    diskMib: values.disk === undefined ? undefined : mebibytes("disk", values.disk),
    user: values.user,
    workingDir: values.workdir,
    lifeMs: values.timeout === undefined ? undefined : BigInt(durationMs("timeout", values.timeout)),
    idleMs: values.idle === undefined ? undefined : BigInt(durationMs("idle", values.idle)),
    endsWithOwner: undefined,
  };
}

function networkOf(said: string | undefined): Network {
  if (said === undefined) return Network.UNSPECIFIED;
  if (said === "none") return Network.NONE;
  if (said === "pod") return Network.POD;
  throw usageError(`run: --network "${said}" is neither none nor pod`);
}

/** `DIR:DIR` or `DIR:DIR:ro`, both absolute. */
function mountOf(said: string) {
  const [hostPath = "", path = "", option, more] = said.split(":");
  if (
    !hostPath.startsWith("/") ||
    !path.startsWith("/") ||
    more !== undefined ||
    !["ro", "rw", undefined].includes(option)
  ) {
    throw usageError(`run: -v "${said}" is not DIR:DIR or DIR:DIR:ro with absolute directories`);
  }
  return { hostPath, path, readonly: option === "ro" };
}
