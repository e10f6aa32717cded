/** How every bench of the project speaks: a table for people, one JSON object for machines, an exit status for both. */
import { cpus, release, totalmem } from "node:os";

/** Measurements of one thing. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly p50: number;
  readonly p99: number;
  readonly runs: number;
}

/** A figure that has a goal, met when it is not above it; with `atLeast`, when it is not below it. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
  readonly goal: number;
  readonly atLeast?: true;
}

export interface Report {
  readonly bench: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly rows: readonly Row[];
  readonly ratios: readonly Ratio[];
}

/** Nearest rank. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
  if (value === undefined) throw new Error("no measurement");
  return value;
}

export function row(name: string, unit: string, values: readonly number[]): Row {
  return { name, unit, p50: round(percentile(values, 50)), p99: round(percentile(values, 99)), runs: values.length };
}

export function round(value: number): number {
  return Number(value.toPrecision(4));
}

export function machineFacts(driver: string): Report["machine"] {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cpus: cpus().length,
    memoryMib: Math.round(totalmem() / 1024 / 1024),
    kernel: release(),
    node: process.versions.node,
    driver,
  };
}

export function missed(report: Report): Ratio[] {
  return report.ratios.filter(isMissed);
}

function isMissed({ value, goal, atLeast }: Ratio): boolean {
  return atLeast === true ? value < goal : value > goal;
}

export function printTable(report: Report): void {
  const facts = Object.entries(report.machine).map(([name, value]) => `${name} ${value}`);
  console.log(`bench ${report.bench} on ${facts.join(", ")}\n`);
  printColumns([
    ["", "p50", "p99", "runs"],
    ...report.rows.map(({ name, unit, p50, p99, runs }) => [name, `${p50} ${unit}`, `${p99} ${unit}`, String(runs)]),
  ]);
  console.log("");
  printColumns([
    ["", "value", "goal", ""],
    ...report.ratios.map((ratio) => [
      ratio.name,
      String(ratio.value),
      `at ${ratio.atLeast === true ? "least" : "most"} ${ratio.goal}`,
      isMissed(ratio) ? "missed" : "met",
    ]),
  ]);
}

function printColumns(lines: readonly (readonly string[])[]): void {
  const widths: number[] = [];
  for (const line of lines) {
    line.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  for (const line of lines) {
    const cells = line.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    console.log(cells.join("  ").trimEnd());
  }
}
