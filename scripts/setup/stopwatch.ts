/** The stages of a script with their times, for the table at the end. */
export class Stopwatch {
  readonly #rows: { readonly name: string; readonly ms: number }[] = [];

  async time<T>(name: string, work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    try {
      return await work();
    } finally {
      this.add(name, performance.now() - startedAt);
    }
  }

  add(name: string, ms: number): void {
    this.#rows.push({ name, ms });
  }

  table(): string {
    const total = this.#rows.reduce((sum, row) => sum + row.ms, 0);
    const rows = [...this.#rows, { name: "total", ms: total }];
    const width = Math.max(...rows.map((row) => row.name.length));
    return rows.map((row) => `  ${row.name.padEnd(width)}  ${(row.ms / 1000).toFixed(2).padStart(8)} s`).join("\n");
  }
}
