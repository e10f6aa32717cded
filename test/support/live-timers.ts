/** Timers that code of certain files has made and that neither have been cleared nor have come. */
export class LiveTimers implements Disposable {
  readonly #live = new Map<unknown, string>();
  readonly #files: readonly string[];
  readonly #real = { setTimeout, setInterval, clearTimeout, clearInterval };

  /** `files`: parts of the paths of the files that are looked for in the stack of each new timer. */
  constructor(files: readonly string[]) {
    this.#files = files;
    const { setTimeout, setInterval, clearTimeout, clearInterval } = this.#real;
    const forgetting =
      (clear: (timer: NodeJS.Timeout | undefined) => void) =>
      (timer: NodeJS.Timeout | undefined): void => {
        this.#live.delete(timer);
        clear(timer);
      };
    const noting =
      (set: (run: () => void, ms?: number) => NodeJS.Timeout, again: boolean) =>
      (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]): NodeJS.Timeout => {
        const timer = set(() => {
          if (!again) this.#live.delete(timer);
          run(...args);
        }, ms);
        this.#note(timer);
        return timer;
      };
    Object.assign(globalThis, {
      setTimeout: noting(setTimeout, false),
      setInterval: noting(setInterval, true),
      clearTimeout: forgetting(clearTimeout),
      clearInterval: forgetting(clearInterval),
    });
  }

  /** Where each was made. */
  get stacks(): readonly string[] {
    return [...this.#live.values()];
  }

  #note(timer: NodeJS.Timeout): void {
    const stack = new Error().stack ?? "";
    if (this.#files.some((file) => stack.includes(file))) this.#live.set(timer, stack);
  }

  [Symbol.dispose](): void {
    Object.assign(globalThis, this.#real);
  }
}
