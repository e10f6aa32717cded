/** `/v1/sandboxes`: the sandboxes, and a program run to its end. */
import { status } from "@grpc/grpc-js";
import { OutputStream, ProcessEvent, type StartProcessRequest } from "../../gen/sandboxes/v1/processes.js";
import {
  AtEnd,
  Network,
  type CreateSandboxRequest,
  type ExtendSandboxRequest,
  type ListSandboxesRequest,
  type ListSandboxesResponse,
  type Sandbox,
} from "../../gen/sandboxes/v1/sandboxes.js";
import { WireError } from "../wire.js";
import type { HttpClient } from "./client.js";
import { Json, sandboxOf, stateName } from "./shapes.js";

const all = "/v1/sandboxes";
const networks: Partial<Record<Network, string>> = { [Network.NONE]: "none", [Network.POD]: "pod" };
const ends: Partial<Record<AtEnd, string>> = { [AtEnd.END]: "end", [AtEnd.PAUSE]: "pause" };

const pathOf = (id: string): string => `${all}/${encodeURIComponent(id)}`;

/** Without what is absent: the REST face takes no null. */
function present(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== ""));
}

function plain(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

export async function created(http: HttpClient, request: CreateSandboxRequest, signal: AbortSignal): Promise<Sandbox> {
  const json = present({
    ...{ template: request.template, vcpus: request.vcpus, memory_mib: request.memoryMib, disk_mib: request.diskMib },
    ...{ env: request.env, metadata: request.metadata, user: request.user, working_dir: request.workingDir },
    mounts: request.mounts.map(({ hostPath, path, readonly }) => ({ host_path: hostPath, path, readonly })),
    network: networks[request.network],
    at_end: ends[request.atEnd],
    ...{ life_ms: plain(request.lifeMs), idle_ms: plain(request.idleMs), ends_with_owner: request.endsWithOwner },
  });
  return sandboxOf(new Json(await http.json({ method: "POST", path: all, json, signal })));
}

export async function shown(http: HttpClient, id: string, signal: AbortSignal): Promise<Sandbox> {
  return sandboxOf(new Json(await http.json({ method: "GET", path: pathOf(id), signal })));
}

export async function listed(
  http: HttpClient,
  { metadata, states, template, startedAfter, pageSize, pageToken }: ListSandboxesRequest,
  signal: AbortSignal,
): Promise<ListSandboxesResponse> {
  if (startedAfter !== undefined) throw onlyByGrpc("listing by the time of the start");
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(metadata)) query.set(`metadata.${name}`, value);
  if (states.length > 0) query.set("state", states.map(stateName).join(","));
  if (template !== "") query.set("template", template);
  if (pageSize !== 0) query.set("page_size", String(pageSize));
  if (pageToken !== "") query.set("page_token", pageToken);
  const json = new Json(await http.json({ method: "GET", path: `${all}?${query.toString()}`, signal }));
  return { sandboxes: json.list("sandboxes").map(sandboxOf), nextPageToken: json.text("next_page_token") };
}

export async function extended(
  http: HttpClient,
  { sandboxId, lifeMs, onlyLater }: ExtendSandboxRequest,
  signal: AbortSignal,
): Promise<Sandbox> {
  const json = { life_ms: Number(lifeMs), only_later: onlyLater };
  return sandboxOf(new Json(await http.json({ method: "POST", path: `${pathOf(sandboxId)}/extend`, json, signal })));
}

export async function paused(http: HttpClient, id: string, signal: AbortSignal): Promise<void> {
  await http.json({ method: "POST", path: `${pathOf(id)}/pause`, json: {}, signal });
}

export async function resumed(http: HttpClient, id: string, signal: AbortSignal): Promise<Sandbox> {
  return sandboxOf(new Json(await http.json({ method: "POST", path: `${pathOf(id)}/resume`, json: {}, signal })));
}

export async function ended(http: HttpClient, id: string, signal: AbortSignal): Promise<void> {
  await http.json({ method: "DELETE", path: pathOf(id), signal });
}

/** All of it comes at the end, up to 4 MiB. */
export async function* ran(
  http: HttpClient,
  { sandboxId, args, env, workingDir, user, terminal, stdin, limitMs }: StartProcessRequest,
  signal: AbortSignal,
): AsyncGenerator<ProcessEvent, void> {
  if (terminal !== undefined) throw onlyByGrpc("a terminal");
  if (stdin) throw onlyByGrpc("a standard input");
  const json = present({ args, env, working_dir: workingDir, user, limit_ms: Number(limitMs) });
  const path = `${pathOf(sandboxId)}/run`;
  const result = new Json(await http.json({ method: "POST", path, json, signal }));
  yield ProcessEvent.fromPartial({ process: { args, workingDir, user } });
  let offset = 0;
  for (const [name, stream] of [
    ["stdout", OutputStream.STDOUT],
    ["stderr", OutputStream.STDERR],
  ] as const) {
    const data = Buffer.from(result.text(name));
    if (data.length > 0) yield ProcessEvent.fromPartial({ output: { stream, data, offset: BigInt(offset) } });
    offset += data.length;
  }
  const [code, number] = [result.number("exit_code"), result.number("signal")];
  yield ProcessEvent.fromPartial({ exit: { code, signal: number, timedOut: result.flag("timed_out") } });
}

export function onlyByGrpc(what: string): WireError {
  return new WireError(status.UNIMPLEMENTED, `${what} is not to be had by HTTP (use protocol "grpc")`, false);
}
