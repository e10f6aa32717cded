// npm run quickstart [-- --sandboxes] [-- --image REF] [-- --driver krun|qemu]: from nothing to a pod in a microVM, or to sandboxes.
import { continueIn } from "./bootstrap.mjs";

continueIn("quickstart/main.ts", process.argv.slice(2));
