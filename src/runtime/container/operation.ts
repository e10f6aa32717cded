import { inStage, RuntimeError } from "../../base/errors.js";
import { stage } from "../../base/stage.js";

/**
 * A stage made of stages: the error says both, "create container web (3f2a…): share rootfs: …", so that one line tells
 * whose step failed.
 */
export async function operation<T>(
  name: string,
  limitMs: number,
  parent: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  try {
    return await stage(name, limitMs, parent, run);
  } catch (thrown) {
    throw thrown instanceof RuntimeError && thrown.stage === name ? thrown : inStage(name, thrown);
  }
}
