// npm run setup [-- test]: makes everything that the quickstart (or the tests) would make, and stops there.
import { continueIn } from "./bootstrap.mjs";

continueIn("setup/main.ts", process.argv.slice(2));
