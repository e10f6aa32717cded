/** What is known of one kind, as of the last event; whoever wants to know is told of each change. */
import { objectAt, textAt, type JsonObject } from "./json.js";
import { keyOf } from "./kinds.js";

export interface StoreOptions {
  readonly onChange: (object: JsonObject) => void;
  /** What objects are looked for by, besides their key. */
  readonly indexOf?: (object: JsonObject) => string | undefined;
}

const mostGone = 500;

export class Store {
  readonly #objects = new Map<string, JsonObject>();
  /** To the keys of its objects. */
  readonly #index = new Map<string, Set<string>>();
  /** By uid, as they were last: the answer to a write may come after the news that the object is gone. */
  readonly #gone = new Map<string, JsonObject>();
  readonly #options: StoreOptions;
  #synced = false;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** Whether it has been filled once. */
  get synced(): boolean {
    return this.#synced;
  }

  get(key: string): JsonObject | undefined {
    return this.#objects.get(key);
  }

  values(): IterableIterator<JsonObject> {
    return this.#objects.values();
  }

  /** Those that the index has there. */
  indexed(index: string): readonly JsonObject[] {
    const keys = [...(this.#index.get(index) ?? [])];
    return keys.map((key) => this.#objects.get(key)).filter((object) => object !== undefined);
  }

  /** All that there is, by a list: what is not in it is gone. */
  replace(objects: readonly JsonObject[]): void {
    const present = new Set(objects.map(keyOf));
    for (const [key, object] of this.#objects) {
      if (present.has(key)) continue;
      this.#drop(key, object);
    }
    for (const object of objects) this.set(object);
    this.#synced = true;
  }

  /** From an event, or from the answer to a write of our own, whose event may come before or after. */
  set(object: JsonObject): void {
    const key = keyOf(object);
    const known = this.#objects.get(key);
    const gone = this.#gone.get(textAt(object, "metadata", "uid") ?? "");
    if (known !== undefined && isOlder(object, known)) return;
    if (gone !== undefined && !isOlder(gone, object)) return;
    if (known !== undefined) this.#unindex(key, known);
    this.#objects.set(key, withoutManagers(object));
    const index = this.#options.indexOf?.(object);
    if (index !== undefined) this.#index.set(index, (this.#index.get(index) ?? new Set()).add(key));
    // Whom it was of is to know that it is another's now.
    if (known !== undefined && this.#options.indexOf?.(known) !== index) this.#options.onChange(known);
    this.#options.onChange(object);
  }

  /** `object`: as it was last. One of its name that was made meanwhile stays. */
  delete(object: JsonObject): void {
    const key = keyOf(object);
    const known = this.#objects.get(key);
    const uid = textAt(object, "metadata", "uid") ?? "";
    this.#gone.set(uid, { metadata: { uid, resourceVersion: textAt(object, "metadata", "resourceVersion") } });
    const [oldest] = this.#gone.keys();
    if (this.#gone.size > mostGone && oldest !== undefined) this.#gone.delete(oldest);
    if (known === undefined || textAt(known, "metadata", "uid") !== uid) return;
    this.#drop(key, known);
  }

  #drop(key: string, known: JsonObject): void {
    this.#unindex(key, known);
    this.#objects.delete(key);
    this.#options.onChange(known);
  }

  #unindex(key: string, known: JsonObject): void {
    const index = this.#options.indexOf?.(known);
    const keys = index === undefined ? undefined : this.#index.get(index);
    if (index === undefined || keys === undefined) return;
    keys.delete(key);
    if (keys.size === 0) this.#index.delete(index);
  }
}

/** Versions of one object are numbers that grow (KEP-5504). What is none is no reason to ignore an event. */
function isOlder(one: JsonObject, other: JsonObject): boolean {
  if (textAt(one, "metadata", "uid") !== textAt(other, "metadata", "uid")) return false;
  const [a, b] = [one, other].map((object) => Number(textAt(object, "metadata", "resourceVersion")));
  return a !== undefined && b !== undefined && a < b;
}

/** Who manages which field is a third of an object, and of no use here. */
function withoutManagers(object: JsonObject): JsonObject {
  const { managedFields: _, ...metadata } = objectAt(object, "metadata") ?? {};
  return { ...object, metadata };
}
