/** Watches that are asked for what they have seen (CreateWatcher): Python's blocking client has no stream. */
import { randomBytes } from "node:crypto";
import { RuntimeError } from "../../../base/errors.js";
import type { FileEvent, Files } from "../../core/file.js";
import { scopeOf } from "../metadata.js";
import type { WatchRequest } from "./messages.js";
import { eventOf, type FilesystemEvent } from "./watch.js";

const mostOfSandbox = 64;
/** Of one watch, unread; then it has missed some, and says so. */
const mostEvents = 10_000;
/** Of all watches of a sandbox, unread, as JSON: names are as long as a program makes them. */
const mostBytes = 16 * 1024 * 1024;
/** A client that asks no more has gone: it can't end what it has forgotten. */
const unaskedMs = 10 * 60_000;

interface Watcher {
  readonly sandbox: string;
  readonly end: AbortController;
  events: FilesystemEvent[];
  /** Of the events. */
  bytes: number;
  failed?: RuntimeError;
  timer?: NodeJS.Timeout;
}

export interface WatchPlace {
  readonly sandbox: string;
  readonly files: Files;
  readonly user: string;
}

export class Watchers {
  readonly #all = new Map<string, Watcher>();

  async create(place: WatchPlace, request: WatchRequest, signal: AbortSignal): Promise<string> {
    if (this.#of(place.sandbox).length >= mostOfSandbox) {
      throw new RuntimeError("resourceExhausted", `the sandbox has ${mostOfSandbox} watchers`, { hint: "remove some" });
    }
    const id = randomBytes(16).toString("hex");
    const watcher: Watcher = { sandbox: place.sandbox, end: new AbortController(), events: [], bytes: 0 };
    this.#all.set(id, watcher);
    const giveUp = (): void => {
      watcher.end.abort();
    };
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      signal.throwIfAborted();
      const scope = { user: place.user };
      const events = await place.files.watch(request.path, scope, request.recursive, watcher.end.signal);
      void this.#gather(watcher, events, place, request);
    } catch (thrown) {
      this.#all.delete(id);
      throw thrown;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
    this.#wait(id, watcher);
    return id;
  }

  /** What has been seen since it was last asked. */
  take(sandbox: string, id: string): readonly FilesystemEvent[] {
    const watcher = this.#find(sandbox, id);
    this.#wait(id, watcher);
    const { events, failed } = watcher;
    if (events.length === 0 && failed !== undefined) throw failed;
    watcher.events = [];
    watcher.bytes = 0;
    return events;
  }

  remove(sandbox: string, id: string): void {
    this.#drop(id, this.#find(sandbox, id));
  }

  close(): void {
    for (const [id, watcher] of [...this.#all]) this.#drop(id, watcher);
  }

  #of(wanted: string): Watcher[] {
    return [...this.#all.values()].filter(({ sandbox }) => sandbox === wanted);
  }

  #find(sandbox: string, id: string): Watcher {
    const watcher = this.#all.get(id);
    if (watcher?.sandbox !== sandbox) throw new RuntimeError("notFound", "there is no such watcher");
    return watcher;
  }

  #wait(id: string, watcher: Watcher): void {
    clearTimeout(watcher.timer);
    watcher.timer = setTimeout(() => {
      this.#drop(id, watcher);
    }, unaskedMs);
    watcher.timer.unref();
  }

  #drop(id: string, watcher: Watcher): void {
    clearTimeout(watcher.timer);
    this.#all.delete(id);
    watcher.end.abort();
  }

  async #gather(
    watcher: Watcher,
    events: AsyncIterable<FileEvent>,
    { files, user }: WatchPlace,
    request: WatchRequest,
  ): Promise<void> {
    try {
      for await (const event of events) {
        const seen = await eventOf(event, request, files, scopeOf(user), watcher.end.signal);
        if (!this.#keep(watcher, seen)) return;
      }
      watcher.failed ??= new RuntimeError("notFound", "what was watched is gone");
    } catch (cause) {
      watcher.failed ??= cause instanceof RuntimeError ? cause : new RuntimeError("internal", "watch", { cause });
    }
  }

  /** False: there is no room for it, and the watch is over. */
  #keep(watcher: Watcher, event: FilesystemEvent): boolean {
    const bytes = JSON.stringify(event).length;
    const held = this.#of(watcher.sandbox).reduce((sum, one) => sum + one.bytes, bytes);
    if (watcher.events.length < mostEvents && held <= mostBytes) {
      watcher.events.push(event);
      watcher.bytes += bytes;
      return true;
    }
    const many = `${watcher.events.length} events that nobody asked for`;
    watcher.failed = new RuntimeError("resourceExhausted", `no room for more than ${many}`);
    watcher.end.abort();
    return false;
  }
}
