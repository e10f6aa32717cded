/** The test's end of `src/base/faults.ts`: arms one fault at a time, and knows which steps there are to arm. */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Fault {
  /** What hangs ends by its signal; what sticks when the test lets go. */
  readonly kind: "fail" | "hang" | "stick" | "die";
  /** `<begin|end> <step>`. */
  readonly place: string;
}

export class FaultDirectory implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<FaultDirectory> {
    return new FaultDirectory(await mkdtemp(join(tmpdir(), "a3s-faults-")));
  }

  async arm(fault: Fault): Promise<void> {
    await writeFile(join(this.path, "armed"), `${fault.kind} ${fault.place}\n`);
  }

  /** These are the steps' limits until `disarm`: what hangs is the real call. */
  async cap(limitMs: number, ...steps: readonly string[]): Promise<void> {
    await writeFile(join(this.path, "armed"), steps.map((step) => `cap ${limitMs} ${step}\n`).join(""));
  }

  /** What sticks goes on. */
  async letGo(): Promise<void> {
    await rm(join(this.path, "stuck"), { force: true });
  }

  /** True when nothing is armed: what was has happened. */
  get spent(): boolean {
    return !existsSync(join(this.path, "armed"));
  }

  async disarm(): Promise<void> {
    await rm(join(this.path, "armed"), { force: true });
  }

  /** The places that were passed since the last `forget`, each once, in their order. */
  async passed(): Promise<string[]> {
    const text = await readFile(join(this.path, "passed"), "utf8").catch(() => "");
    return [...new Set(text.split("\n").filter((line) => line !== ""))];
  }

  async forget(): Promise<void> {
    await rm(join(this.path, "passed"), { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
