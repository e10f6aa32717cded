/** Of a process: what may be said of the runtime there. */
export type Environment = Readonly<Record<string, string | undefined>>;
