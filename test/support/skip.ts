/** Skips the test or, in a hook, its group, and says why where mocha would only count it. */
export function skipBecause(test: Mocha.Context, why: string): never {
  process.stdout.write(`      skipped: ${why}\n`);
  return test.skip();
}
