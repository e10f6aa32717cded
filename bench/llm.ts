/**
 * `bench llm`: what the gateway costs over going straight, in turn and in one run: until the first byte of an answer, streamed and
 * not, of a short request and of a long one; then many streams at once, and what they leave in memory. Client, gateway and model
 * server share one process and its event loop.
 */
import { readFile } from "node:fs/promises";
import { Agent, request, type ClientRequest, type IncomingMessage } from "node:http";
import { Agent as TlsAgent, request as requestTls } from "node:https";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { monotonicMs } from "../src/base/clock.js";
import { boxOf, openGateway, type OpenGateway } from "../test/support/models/open-gateway.js";
import { machineFacts, percentile, round, row, type Report } from "./report.js";

/** Issue, "Must show". */
const mostOverheadMs = 5;
const streamsAtOnce = 200;
/** What later waves of streams may leave in memory over the first ones, which warm pools and code: nothing is kept of them. */
const mostGrowthMib = 16;
const warmWaves = 2;
const waves = 5;
/** A long conversation's. */
const longBytes = 400_000;

type Times = Map<string, number[]>;
/** Resolves with the milliseconds until the first byte, when all has come. */
type Ask = (body: string) => Promise<number>;

const bodyOf = (more: object): string => JSON.stringify({ max_tokens: 5, model: "model-1", messages: [], ...more });
const bodies: readonly (readonly [string, string])[] = [
  ["short", bodyOf({})],
  ["streamed", bodyOf({ stream: true })],
  ["long, streamed", bodyOf({ stream: true, system: "x".repeat(longBytes) })],
];

export async function benchLlm({ runs }: { readonly runs: number }): Promise<Report> {
  const open = await openGateway({ more: "box = { requests_a_minute = 0, concurrent = 0 }" });
  const times: Times = new Map();
  try {
    const straight = await straightTo(open);
    const gateway = through(await open.port(boxOf("bench")), open.tokens.of("bench"));
    for (const [name, body] of bodies) await inTurn(name, body, { straight, gateway }, runs * 5, times);
    const growthMib = await manyStreams(gateway, open, times);
    const p50 = (name: string): number => percentile(times.get(name) ?? [], 50);
    return {
      bench: "llm",
      machine: machineFacts("none"),
      rows: [...times].map(([name, values]) => row(name, "ms", values)),
      ratios: [
        ...bodies.map(([name]) => ({
          name: `${name}: gateway over straight, ms`,
          value: round(p50(`${name}, gateway`) - p50(`${name}, straight`)),
          goal: mostOverheadMs,
        })),
        { name: "memory that later streams leave, MiB", value: round(growthMib), goal: mostGrowthMib },
      ],
    };
  } finally {
    await open.close();
  }
}

async function straightTo({ caFile, models }: OpenGateway): Promise<Ask> {
  const agent = new TlsAgent({ keepAlive: true, ca: await readFile(caFile) });
  const options = { host: "127.0.0.1", port: models.port, path: "/v1/messages", method: "POST", agent };
  return async (body) =>
    await timed((onAnswer) => requestTls({ ...options, headers: headersOf("key-1") }, onAnswer), body);
}

function through(port: number, token: string): Ask {
  const agent = new Agent({ keepAlive: true });
  const options = { host: "127.0.0.1", port, path: "/anthropic/v1/messages", method: "POST", agent };
  return async (body) => await timed((onAnswer) => request({ ...options, headers: headersOf(token) }, onAnswer), body);
}

function headersOf(key: string): Record<string, string> {
  return { "content-type": "application/json", "x-api-key": key };
}

async function timed(
  begin: (onAnswer: (answer: IncomingMessage) => void) => ClientRequest,
  body: string,
): Promise<number> {
  const begunMs = monotonicMs();
  return await new Promise((resolve, reject) => {
    let firstMs: number | undefined;
    const outgoing = begin((answer) => {
      answer.on("data", () => (firstMs ??= monotonicMs() - begunMs));
      answer.on("error", reject).on("end", () => {
        if (answer.statusCode === 200 && firstMs !== undefined) resolve(firstMs);
        else reject(new Error(`status ${String(answer.statusCode)}`));
      });
    });
    outgoing.on("error", reject).end(body);
  });
}

/** One of each after the other, so that what the machine does beside hits both. */
async function inTurn(
  name: string,
  body: string,
  ways: Readonly<Record<"straight" | "gateway", Ask>>,
  runs: number,
  times: Times,
): Promise<void> {
  for (let turn = -10; turn < runs; turn += 1) {
    for (const [way, ask] of Object.entries(ways)) {
      const ms = await ask(body);
      if (turn >= 0) add(times, `${name}, ${way}`, ms);
    }
  }
}

/** Each wave's streams are all open before the first of them goes on. */
async function manyStreams(gateway: Ask, { models }: OpenGateway, times: Times): Promise<number> {
  setFlagsFromString("--expose-gc");
  let afterFirstMib = 0;
  for (let wave = 0; wave < waves + warmWaves; wave += 1) {
    let goOn: () => void = () => undefined;
    models.hold = new Promise((resolve) => (goOn = resolve));
    models.seen.length = 0;
    const begunMs = monotonicMs();
    const all = Array.from({ length: streamsAtOnce }, () => gateway(bodyOf({ stream: true, model: "held" })));
    while (models.seen.length < streamsAtOnce) await new Promise((resolve) => setTimeout(resolve, 5));
    goOn();
    for (const ms of await Promise.all(all)) add(times, `${String(streamsAtOnce)} at once, first byte`, ms);
    add(times, `${String(streamsAtOnce)} at once, all whole`, monotonicMs() - begunMs);
    models.seen.length = 0;
    if (wave === warmWaves - 1) afterFirstMib = usedMib();
  }
  return usedMib() - afterFirstMib;
}

function usedMib(): number {
  const collect: unknown = runInNewContext("gc");
  if (typeof collect === "function") Reflect.apply(collect, undefined, []);
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 1_048_576;
}

function add(times: Times, name: string, ms: number): void {
  const values = times.get(name) ?? [];
  values.push(ms);
  times.set(name, values);
}
