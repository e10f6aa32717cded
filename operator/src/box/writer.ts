/** Writes of objects that an A3sBox has: only where something is to be changed, and only over what is its own. */
import type { KubeClient } from "../kube/client.js";
import { isReason, KubeError } from "../kube/error.js";
import { canonical, covers, listAt, objectAt, textAt, type JsonObject } from "../kube/json.js";
import { group, keyOf, kindOf, placeOf, type Kind } from "../kube/kinds.js";
import type { Cluster } from "../runtime/cluster.js";
import type { EventRecorder } from "../runtime/events.js";
import { hashOf } from "./names.js";

/** What an object was applied as: a member that is wanted no more is told by it. */
const appliedAnnotation = `${group}/applied`;

export interface WriterOptions {
  readonly client: KubeClient;
  readonly cluster: Cluster;
  readonly events: EventRecorder;
  readonly onWrite: (kind: string, verb: string) => void;
}

export class Writer {
  readonly #options: WriterOptions;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Throws `KubeError`, "NameTaken" where one of its name is somebody else's. */
  async apply(box: JsonObject, wanted: JsonObject): Promise<void> {
    const kind = kindOf(wanted);
    const stamped = withStamp(wanted);
    const known = this.#options.cluster.get(kind, keyOf(wanted)) ?? (await this.#find(kind, keyOf(wanted)));
    if (known !== undefined && !isOf(known, box)) throw nameTaken(kind, wanted);
    if (known !== undefined && covers(known, stamped)) return;
    await this.patch(box, stamped);
  }

  /** Takes back fields that another manager has changed, and says whose they were. */
  async patch(box: JsonObject, object: JsonObject, subresource?: string): Promise<void> {
    const { client, cluster, events, onWrite } = this.#options;
    const kind = kindOf(object);
    const which = subresource === undefined ? {} : { subresource };
    let answer: JsonObject;
    try {
      answer = await client.apply(object, { ...which, force: false });
    } catch (thrown) {
      // A uid that is not that of the object any more is a conflict too, and ends here the second time.
      if (!isReason(thrown, "Conflict")) throw thrown;
      answer = await client.apply(object, { ...which, force: true });
      const said = thrown.message.replace(/^\S+ \S+ /, "");
      const message = `${kind.kind} ${textAt(object, "metadata", "name") ?? ""} is the operator's: ${said}`;
      await events.record(box, { type: "Warning", reason: "TookBack", message });
    }
    onWrite(kind.kind, subresource ?? "apply");
    cluster.took(kind, answer);
  }

  async remove(kind: Kind, object: JsonObject): Promise<void> {
    const uid = textAt(object, "metadata", "uid") ?? "";
    await this.#options.client.remove(kind, placeOf(keyOf(object)), uid);
    this.#options.onWrite(kind.kind, "delete");
  }

  /** What lost its label is in no store. */
  async #find(kind: Kind, key: string): Promise<JsonObject | undefined> {
    try {
      return await this.#options.client.get(kind, placeOf(key));
    } catch (thrown) {
      if (isReason(thrown, "NotFound")) return undefined;
      throw thrown;
    }
  }
}

/** Whether the A3sBox is its controller. */
export function isOf(object: JsonObject, box: JsonObject): boolean {
  const uid = textAt(box, "metadata", "uid");
  return listAt(object, "metadata", "ownerReferences").some((owner) => textAt(owner, "uid") === uid);
}

function withStamp(wanted: JsonObject): JsonObject {
  const metadata = objectAt(wanted, "metadata") ?? {};
  const annotations = { ...objectAt(metadata, "annotations"), [appliedAnnotation]: hashOf(canonical(wanted)) };
  return { ...wanted, metadata: { ...metadata, annotations } };
}

function nameTaken(kind: Kind, wanted: JsonObject): KubeError {
  const name = textAt(wanted, "metadata", "name") ?? "";
  const what = `${kind.kind} ${name} is there and is not of this A3sBox`;
  return new KubeError(0, "NameTaken", `${what}: remove it, or give the A3sBox another name`);
}
