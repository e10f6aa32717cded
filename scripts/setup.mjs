// npm run setup [-- test|cluster]: makes everything that the quickstart (or the tests, or the cluster) would make.
import { continueIn } from "./bootstrap.mjs";

continueIn("setup/main.ts", process.argv.slice(2));
