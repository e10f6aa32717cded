/** What `fuse-client.c` prints of a file server's answers, and what holds for each server alike. */
import { expect } from "chai";

/** By the request's name; one may be asked for several times. */
export type FuseAnswers = Map<string, string[]>;

export function byRequest(said: string): FuseAnswers {
  const found: FuseAnswers = new Map();
  for (const line of said.trim().split("\n")) {
    const [request = "", answer = ""] = line.split(" => ");
    found.set(request, [...(found.get(request) ?? []), answer]);
  }
  return found;
}

export function expectNothingOfNumbers(answers: FuseAnswers): void {
  for (const what of ["GETATTR of a number", "OPEN of a number", "READ of a handle"]) {
    expect(new Set(answers.get(`${what} never given`)), what).to.deep.equal(new Set(["EBADF"]));
  }
  expect(answers.get("an operation that there is not")).to.deep.equal(["ENOSYS"]);
}

export function expectNoHarmOfBrokenRequests(answers: FuseAnswers): void {
  const broken = ["a length that lies", "an answer outside of the memory", "half a header", "LOOKUP without an end"];
  for (const request of broken) expect(answers.get(request)?.[0], request).to.match(/^(0|E[A-Z]+)$/);
  expect(answers.has("end")).to.equal(true);
}
