/** `missing`: no Box without it. `optional`: something is lost without it. */
type Verdict = "OK" | "missing" | "optional";

export interface Finding {
  readonly subject: string;
  readonly verdict: Verdict;
  readonly detail: string;
  readonly remedy?: string;
}
