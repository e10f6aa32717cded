import type { BoxSpec } from "../box.js";
import { classKey } from "../class-key.js";

/** Boxes that one template serves: what differs between them comes after it was made. */
export interface TemplateClass {
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly tap: string | null;
}

/** Undefined for a Box that is unlike any other: its file server translates owners. */
export function classOf({ vcpus, memoryMib, tap, idMap }: BoxSpec): TemplateClass | undefined {
  return idMap === undefined ? { vcpus, memoryMib, tap } : undefined;
}

/** The name of its file. Another program, kernel, agent or command line is another key. */
export function keyOf({ vcpus, memoryMib, tap }: TemplateClass, identity: string): string {
  return classKey(String(vcpus), String(memoryMib), tap ?? "", identity);
}
