// npm test: sets up, then runs every check and test, and ends with one line that counts them.
import { continueIn } from "./bootstrap.mjs";

continueIn("test/main.ts", process.argv.slice(2));
