/** nft(8) in a pod's network namespace: rules in, tables out. */
import { spawn } from "node:child_process";
import * as z from "zod";
import { errnoOf, RuntimeError } from "../../base/errors.js";
import { stage } from "../../base/stage.js";
import { egressReasons, type EgressReason } from "./closed.js";
import { counterOf, table } from "./ruleset.js";

/** A transaction of a thousand rules takes tens of milliseconds; this is for a kernel that is busy. */
const limitMs = 20_000;
const mostOutput = 16 * 1024 * 1024;
const keptErrors = 2048;

/** All of the text, or nothing of it. */
export async function applyRules(netnsPath: string, text: string, signal: AbortSignal): Promise<void> {
  await stage("apply egress rules", limitMs, signal, async (limited) => {
    await nft(netnsPath, ["-f", "-"], text, limited);
  });
}

export interface RefusedDestination {
  readonly address: string;
  /** "tcp", "udp", "icmp", … */
  readonly protocol: string;
  /** 0 where the protocol has none. */
  readonly port: number;
  readonly packets: number;
  /** Since the last of them. */
  readonly agoS: number;
}

export interface KernelPin {
  readonly address: string;
  readonly comment: string;
  /** How long it is there still. */
  readonly expiresS: number;
}

/** What the kernel has counted, and keeps for the Box. */
export interface RulesFacts {
  readonly refused: Readonly<Partial<Record<EgressReason, number>>>;
  readonly recent: readonly RefusedDestination[];
  readonly pins: readonly KernelPin[];
}

const element = z.object({
  val: z.union([
    z.string(),
    z.object({ concat: z.tuple([z.string(), z.union([z.string(), z.number()])], z.number()) }),
  ]),
  expires: z.number().default(0),
  comment: z.string().default(""),
  counter: z.object({ packets: z.number() }).default({ packets: 0 }),
});
const listing = z.object({
  nftables: z.array(
    z.object({
      counter: z.object({ name: z.string(), packets: z.number() }).optional(),
      set: z
        .object({
          name: z.string(),
          timeout: z.number().default(0),
          elem: z.array(z.unknown()).default([]),
        })
        .optional(),
    }),
  ),
});

export async function readRules(netnsPath: string, signal: AbortSignal): Promise<RulesFacts> {
  return await stage("read egress rules", limitMs, signal, async (limited) => {
    const text = await nft(netnsPath, ["-j", "list", "table", ...table.split(" ")], "", limited);
    const read = listing.safeParse(JSON.parse(text) as unknown);
    if (!read.success) throw new RuntimeError("internal", `nft lists what can't be read: ${read.error.message}`);
    return factsOf(read.data);
  });
}

function factsOf({ nftables }: z.infer<typeof listing>): RulesFacts {
  const counters = new Map(
    nftables.flatMap(({ counter }) => (counter === undefined ? [] : [[counter.name, counter.packets]])),
  );
  const refused: Partial<Record<EgressReason, number>> = {};
  for (const reason of egressReasons) {
    const packets = counters.get(counterOf(reason)) ?? 0;
    if (packets > 0) refused[reason] = packets;
  }
  const recent: RefusedDestination[] = [];
  const pins: KernelPin[] = [];
  for (const { set } of nftables) {
    if (set === undefined) continue;
    for (const one of set.elem) {
      const found = elementOf(one);
      if (found === undefined) continue;
      const { val, expires, comment, counter } = found;
      if (/^pins[46]$/.test(set.name) && typeof val === "string") {
        pins.push({ address: val, comment, expiresS: expires });
      }
      if (!/^(recent|other)[46]$/.test(set.name) || typeof val === "string") continue;
      const [address, protocol, port = 0] = val.concat;
      const agoS = Math.max(0, set.timeout - expires);
      recent.push({ address, protocol: String(protocol), port, packets: counter.packets, agoS });
    }
  }
  recent.sort((a, b) => a.agoS - b.agoS);
  return { refused, recent, pins };
}

function elementOf(one: unknown): z.infer<typeof element> | undefined {
  const wrapped = z.object({ elem: element }).safeParse(one);
  if (wrapped.success) return wrapped.data.elem;
  const bare = z.string().safeParse(one);
  return bare.success ? element.parse({ val: bare.data }) : undefined;
}

async function nft(netnsPath: string, args: readonly string[], input: string, signal: AbortSignal): Promise<string> {
  const child = spawn("nsenter", [`--net=${netnsPath}`, "--", "nft", ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    cwd: "/",
    signal,
    killSignal: "SIGKILL",
  });
  const output: Buffer[] = [];
  let [length, errors] = [0, ""];
  child.stdout.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length > mostOutput) child.kill("SIGKILL");
    else output.push(chunk);
  });
  child.stderr.on("data", (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(0, keptErrors);
  });
  child.stdin.on("error", () => undefined); // it may end without reading
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  }).catch((thrown: unknown) => {
    if (errnoOf(thrown) === "ENOENT") throw missing("nsenter (util-linux) is not there");
    throw thrown;
  });
  signal.throwIfAborted();
  if (code === 0) return Buffer.concat(output).toString();
  const said = errors.trim().split("\n").slice(0, 3).join(" | ");
  if (/nsenter: failed to execute nft/.test(said)) throw missing("nft (nftables) is not there");
  throw new RuntimeError("internal", `nft ended with ${String(code)}: ${said.slice(0, 600)}`);
}

function missing(what: string): RuntimeError {
  return new RuntimeError("failedPrecondition", `rules for what sandboxes reach can't be kept: ${what}`, {
    hint: 'apt install nftables; or, where the network plugin keeps such rules, sandboxes.egress = "cni"',
  });
}
