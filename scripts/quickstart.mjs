// npm run quickstart [-- --image REF] [-- --driver krun|qemu]: from nothing to a pod in a microVM.
import { continueIn } from "./bootstrap.mjs";

continueIn("quickstart/main.ts", process.argv.slice(2));
