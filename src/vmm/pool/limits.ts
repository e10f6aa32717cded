export interface PoolLimits {
  /** Of a whole Box, up to its being ready. */
  readonly makeMs: number;
  /** Of a step of it that only makes something on the host. */
  readonly stepMs: number;
  readonly discardMs: number;
  /** A Box that was found again may be one of many, on a machine that has just been busy. */
  readonly adoptMs: number;
}

export const usualLimits: PoolLimits = { makeMs: 180_000, stepMs: 20_000, discardMs: 30_000, adoptMs: 30_000 };
