import { RuntimeError } from "../../base/errors.js";
import type { Page, PageWanted, SandboxFilter, SandboxView } from "./sandbox.js";

const mostOfPage = 1000;

export function fitsFilter(view: SandboxView, { metadata, states, template, startedAfterMs }: SandboxFilter): boolean {
  return (
    (template === undefined || view.template === template) &&
    (states === undefined || states.includes(view.state)) &&
    (startedAfterMs === undefined || view.startedAtMs > startedAfterMs) &&
    Object.entries(metadata ?? {}).every(([name, value]) => {
      return Object.hasOwn(view.metadata, name) && view.metadata[name] === value;
    })
  );
}

/** Newest first. A page begins after the last one of the page before, whatever has come or gone meanwhile. */
export function pageOf(views: readonly SandboxView[], { limit, after }: PageWanted): Page<SandboxView> {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new RuntimeError("invalidArgument", `a page of ${String(limit)} is not possible`, { hint: "1 or more" });
  }
  const sorted = [...views].sort((a, b) => (isBefore(placeOf(a), placeOf(b)) ? -1 : 1));
  const begin = after === undefined ? undefined : readToken(after);
  const rest = begin === undefined ? sorted : sorted.filter((view) => isBefore(begin, placeOf(view)));
  const items = rest.slice(0, Math.min(limit, mostOfPage));
  const last = items.at(-1);
  return last === undefined || items.length === rest.length ? { items } : { items, next: tokenOf(placeOf(last)) };
}

interface Place {
  readonly atMs: number;
  readonly id: string;
}

function placeOf({ startedAtMs, id }: SandboxView): Place {
  return { atMs: startedAtMs, id };
}

function isBefore(a: Place, b: Place): boolean {
  return a.atMs > b.atMs || (a.atMs === b.atMs && a.id < b.id);
}

function tokenOf({ atMs, id }: Place): string {
  return `${String(atMs)}-${id}`;
}

function readToken(token: string): Place {
  const [, at, id] = /^(\d{1,15})-([a-z0-9]{20})$/.exec(token) ?? [];
  if (at !== undefined && id !== undefined) return { atMs: Number(at), id };
  throw new RuntimeError("invalidArgument", "the token of a page is none of ours", { hint: "begin without one" });
}
