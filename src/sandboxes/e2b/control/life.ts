/** What is done to one sandbox: /sandboxes/{id} and below. */
import * as z from "zod";
import { codeOf, RuntimeError } from "../../../base/errors.js";
import { sendJson, sendNothing } from "../answer.js";
import { RestFailure } from "../errors.js";
import { jsonBody } from "../../http/read-body.js";
import type { ControlCall } from "./call.js";
import { seconds } from "./create.js";
import { egressOf, networkRules } from "./network.js";
import { detailOf, metricOf, sandboxOf } from "./shapes.js";

const mostBytes = 64 * 1024;
const mostRefresh = 3600;
const usualRefresh = 15;
const usualLife = 300;

const timeoutRequest = z.object({ timeout: seconds });
const connectRequest = z.object({ timeout: seconds.default(usualLife), memory: z.boolean().optional() });
const refreshRequest = z.object({ duration: z.int().min(0).max(mostRefresh).default(usualRefresh) });
const pauseRequest = z.object({ memory: z.boolean().optional() });

export function detail({ caller, name, options, response }: ControlCall): Promise<void> {
  sendJson(response, 200, detailOf(options.sandboxes.get(caller, name), options.domain));
  return Promise.resolve();
}

export async function end({ caller, name, options, request, response }: ControlCall): Promise<void> {
  await options.sandboxes.end(caller, name, request.signal);
  sendNothing(response);
}

/** 200 for one that runs, whose end only ever comes later; 201 for one that was paused. */
export async function connect(call: ControlCall): Promise<void> {
  const { caller, name, options, request, response } = call;
  const { timeout, memory } = await jsonBody(request.message, mostBytes, connectRequest);
  if (memory === false)
    throw new RuntimeError("unimplemented", "memory: false (a new boot of what was paused): not built");
  const paused = options.sandboxes.get(caller, name).state === "paused";
  if (paused) await options.sandboxes.resume(caller, name, request.signal);
  const view = await options.sandboxes.extend(caller, name, timeout * 1000, paused ? "any" : "later");
  sendJson(response, paused ? 201 : 200, sandboxOf(view, options.domain));
}

export async function resume({ caller, name, options, request, response }: ControlCall): Promise<void> {
  const { timeout } = await jsonBody(request.message, mostBytes, connectRequest);
  if (options.sandboxes.get(caller, name).state !== "paused") throw new RestFailure(409, `sandbox ${name} is running`);
  await options.sandboxes.resume(caller, name, request.signal);
  sendJson(
    response,
    201,
    sandboxOf(await options.sandboxes.extend(caller, name, timeout * 1000, "any"), options.domain),
  );
}

export async function pause({ caller, name, options, request, response }: ControlCall): Promise<void> {
  const { memory } = await jsonBody(request.message, mostBytes, pauseRequest);
  if (memory === false) throw new RuntimeError("unimplemented", "memory: false (the disk alone): not built");
  if (options.sandboxes.get(caller, name).state === "paused") throw new RestFailure(409, `sandbox ${name} is paused`);
  await options.sandboxes.pause(caller, name, request.signal);
  sendNothing(response);
}

export async function timeout({ caller, name, options, request, response }: ControlCall): Promise<void> {
  const wanted = await jsonBody(request.message, mostBytes, timeoutRequest);
  await options.sandboxes.extend(caller, name, wanted.timeout * 1000, "any");
  sendNothing(response);
}

export async function refresh({ caller, name, options, request, response }: ControlCall): Promise<void> {
  const { duration } = await jsonBody(request.message, mostBytes, refreshRequest);
  await options.sandboxes.extend(caller, name, duration * 1000, "later");
  sendNothing(response);
}

/** What is used now; nothing is kept of what was. */
export async function metrics({ caller, name, options, request, response }: ControlCall): Promise<void> {
  const { searchParams } = request.url;
  const usage = await options.sandboxes.usage(caller, name, request.signal);
  const from = numberOf(searchParams.get("start"), 0);
  const to = numberOf(searchParams.get("end"), Number.POSITIVE_INFINITY);
  // A client that says "until now" has said so before the figure was taken.
  const asked = from <= usage.atMs / 1000 && to >= Math.floor(usage.atMs / 1000) - 60;
  sendJson(response, 200, asked ? [metricOf(usage)] : []);
}

/** All rules that are not said are taken back. */
export async function network({ caller, name, options, request, response }: ControlCall): Promise<void> {
  const rules = await jsonBody(request.message, mostBytes, networkRules);
  const wanted = egressOf(rules, rules.allow_internet_access);
  const view = options.sandboxes.get(caller, name);
  const closed = wanted.allowOut.length === 0 && (wanted.rest === "deny" || wanted.denyOut.includes("0.0.0.0/0"));
  // One without a network is closed to everything already.
  if (view.network !== "none" || !closed) await options.sandboxes.setEgress(caller, name, wanted, request.signal);
  sendNothing(response);
}

function numberOf(text: string | null, otherwise: number): number {
  if (text === null || text === "") return otherwise;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new RuntimeError("invalidArgument", "start and end are unix seconds");
  return value;
}

/** The SDKs know a sandbox that is not there by 404; whatever else is not found is not the sandbox. */
export function inWordsOfSandbox(thrown: unknown, name: string): unknown {
  if (codeOf(thrown) !== "notFound" || name === "") return thrown;
  return new RuntimeError("notFound", `sandbox ${name.slice(0, 80)} was not found`, { cause: thrown });
}
