/** GET /sandboxes and /v2/sandboxes. */
import { RuntimeError } from "../../../base/errors.js";
import type { Caller } from "../../core/caller.js";
import type { Page, SandboxFilter, SandboxState, SandboxView } from "../../core/sandbox.js";
import type { Sandboxes } from "../../core/sandboxes.js";
import { sendJson } from "../answer.js";
import type { ControlCall } from "./call.js";
import { listedOf } from "./shapes.js";

const usualLimit = 100;
const mostLimit = 1000;
const mostText = 8192;
/** The oldest first are turned round here: so many, no tenant has more. */
const mostTurned = 10_000;

export function list({ caller, options, request, response }: ControlCall): Promise<void> {
  const query = request.url.searchParams;
  const filter = filterOf(query);
  const limit = limitOf(query.get("limit"));
  const after = query.get("nextToken") ?? "";
  if (after.length > mostText) throw new RuntimeError("invalidArgument", "no such nextToken");
  const page = inOrder(query.get("order"))
    ? pageFrom(options.sandboxes, caller, filter, limit, after)
    : oldestFirst(options.sandboxes, caller, filter, limit, after);
  const next: Record<string, string> = page.next === undefined ? {} : { "x-next-token": page.next };
  sendJson(response, 200, page.items.map(listedOf), next);
  return Promise.resolve();
}

/** The newest first, as the core has them. */
function inOrder(order: string | null): boolean {
  if (order === null || order === "" || order === "desc") return true;
  if (order !== "asc") throw new RuntimeError("invalidArgument", "order is asc or desc");
  return false;
}

function pageFrom(
  sandboxes: Sandboxes,
  caller: Caller,
  filter: SandboxFilter,
  limit: number,
  after: string,
): Page<SandboxView> {
  return sandboxes.list(caller, filter, { limit, ...(after === "" ? {} : { after }) });
}

function oldestFirst(
  sandboxes: Sandboxes,
  caller: Caller,
  filter: SandboxFilter,
  limit: number,
  after: string,
): Page<SandboxView> {
  const all: SandboxView[] = [];
  for (let token: string | undefined = ""; token !== undefined && all.length < mostTurned;) {
    const page: Page<SandboxView> = pageFrom(sandboxes, caller, filter, mostLimit, token);
    all.push(...page.items);
    token = page.next;
  }
  all.reverse();
  // One that has ended since is passed by: what comes after is what has begun later.
  const [, startedAt = "", id = ""] = /^(\d{1,15})-([a-z0-9]{1,64})$/.exec(after) ?? [];
  if (after !== "" && id === "") throw new RuntimeError("invalidArgument", "no such nextToken");
  const isLater = (view: SandboxView): boolean =>
    view.startedAtMs > Number(startedAt) || (view.startedAtMs === Number(startedAt) && view.id > id);
  if (after !== "" || all.length > 1) all.sort((a, b) => a.startedAtMs - b.startedAtMs || (a.id < b.id ? -1 : 1));
  const rest = after === "" ? all : all.filter(isLater);
  const items = rest.slice(0, limit);
  const last = items.at(-1);
  return rest.length > limit && last !== undefined ? { items, next: `${last.startedAtMs}-${last.id}` } : { items };
}

function filterOf(query: URLSearchParams): SandboxFilter {
  const states = statesOf(query.getAll("state"));
  const metadata = query.get("metadata");
  const template = query.get("template");
  const startedAfter = query.get("startedAfter");
  return {
    states,
    ...(metadata === null || metadata === "" ? {} : { metadata: metadataOf(metadata) }),
    ...(template === null || template === "" ? {} : { template: template.slice(0, mostText) }),
    ...(startedAfter === null || startedAfter === "" ? {} : { startedAfterMs: timeOf(startedAfter) }),
  };
}

/** By commas, or once for each. */
function statesOf(given: readonly string[]): SandboxState[] {
  const names = given.flatMap((one) => one.split(",")).filter((one) => one !== "");
  const all = names.length === 0 ? ["running", "paused"] : names;
  return all.flatMap((name): SandboxState[] => {
    if (name === "running") return ["running", "starting"];
    if (name === "paused") return ["paused"];
    throw new RuntimeError("invalidArgument", "state is running or paused");
  });
}

/** "k=v&…"; the SDKs encode each word of it twice. */
function metadataOf(text: string): Readonly<Record<string, string>> {
  if (text.length > mostText) throw new RuntimeError("invalidArgument", "metadata is too long");
  const pairs = [...new URLSearchParams(text)].map(([name, value]) => [decoded(name), decoded(value)] as const);
  return Object.fromEntries(pairs);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function timeOf(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new RuntimeError("invalidArgument", "startedAfter is no time");
  return ms;
}

function limitOf(text: string | null): number {
  if (text === null || text === "") return usualLimit;
  const limit = Number(text);
  if (!/^\d{1,9}$/.test(text) || limit < 1) throw new RuntimeError("invalidArgument", "limit is a number from 1 up");
  return Math.min(limit, mostLimit);
}
