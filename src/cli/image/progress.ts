/** What people see of a pull. */
import type { PlannedLayer, PullWatch } from "../../image/image-store.js";
import { mib } from "./show.js";

/** Where it is drawn: a terminal, or something that only takes lines. */
export interface ProgressTarget {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

interface LayerProgress {
  readonly layer: PlannedLayer;
  receivedBytes: number;
  told: boolean;
}

const barCells = 30;

export class PullProgress implements PullWatch {
  readonly #target: ProgressTarget;
  #layers: LayerProgress[] = [];
  #drawnLines = 0;
  #ended = false;

  constructor(target: ProgressTarget) {
    this.#target = target;
  }

  planned(layers: readonly PlannedLayer[]): void {
    this.#layers = layers.map((layer) => ({ layer, receivedBytes: 0, told: false }));
    if (this.#target.isTTY !== true) this.#target.write(`${layers.length} layers, ${mib(sumOf(layers))}\n`);
  }

  received(blob: string, bytes: number): void {
    for (const progress of this.#layers) {
      if (progress.layer.digest !== blob) continue;
      progress.receivedBytes = Math.min(progress.receivedBytes + bytes, progress.layer.sizeBytes);
    }
  }

  /** Draws it anew on a terminal; tells elsewhere what has come since. */
  draw(): void {
    if (this.#target.isTTY === true) this.#redraw();
    else this.#tell();
  }

  /** The image is here: also the layers that were here before. */
  end(): void {
    this.#ended = true;
    this.draw();
  }

  #redraw(): void {
    if (this.#layers.length === 0) return;
    const up = this.#drawnLines === 0 ? "" : `\u001b[${this.#drawnLines}A`;
    const lines = this.#layers.map((progress) => `\u001b[2K${lineOf(progress, this.#ended)}\n`);
    this.#target.write(up + lines.join(""));
    this.#drawnLines = lines.length;
  }

  #tell(): void {
    for (const progress of this.#layers) {
      const { layer, receivedBytes, told } = progress;
      if (told || receivedBytes < layer.sizeBytes) continue;
      progress.told = true;
      this.#target.write(`${shortOf(layer)} downloaded, ${mib(layer.sizeBytes)}\n`);
    }
  }
}

/** "0123456789ab [=====>     ] 12.0 of 30.5 MiB". */
export function lineOf({ layer, receivedBytes }: Omit<LayerProgress, "told">, ended: boolean): string {
  const part = ended || layer.sizeBytes === 0 ? 1 : receivedBytes / layer.sizeBytes;
  const full = Math.floor(part * barCells);
  const bar = full === barCells ? "=".repeat(barCells) : `${"=".repeat(full)}>`.padEnd(barCells);
  const state = ended ? "done" : part === 1 ? "unpacking" : `${mib(receivedBytes)} of ${mib(layer.sizeBytes)}`;
  return `${shortOf(layer)} [${bar}] ${state}`;
}

function shortOf({ digest }: PlannedLayer): string {
  return digest.slice("sha256:".length, 19);
}

function sumOf(layers: readonly PlannedLayer[]): number {
  return layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
