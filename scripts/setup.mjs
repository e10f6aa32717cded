// npm run setup [-- test|cluster|kernel]: makes everything that the quickstart (or the tests, or the cluster) would make;
// kernel: with a guest kernel of our own.
import { continueIn } from "./bootstrap.mjs";

continueIn("setup/main.ts", process.argv.slice(2));
