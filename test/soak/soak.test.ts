import { randomInt } from "node:crypto";
import { soak } from "../support/soak/soak.js";
import { limit } from "../support/wait.js";

const minutes = Number(process.env["A3S_SOAK_MINUTES"] ?? "3");
const workers = Number(process.env["A3S_SOAK_WORKERS"] ?? "3");
const seed = Number(process.env["A3S_SOAK_SEED"] ?? String(randomInt(2 ** 31)));

describe("Soak", function () {
  this.timeout(limit((minutes + 15) * 60_000));

  it(`${minutes} minutes of pods' lives, with faults and with a daemon that is killed, cost nothing`, async () => {
    const { gates, text } = await soak({ minutes, workers, seed, say });
    if (gates.some(({ passed }) => !passed)) throw new Error(text);
  });
});

function say(text: string): void {
  for (const line of text.split("\n")) process.stdout.write(`      ${line}\n`);
}
