// npm run cluster: a Kubernetes cluster of one node whose pods are microVMs, until it is interrupted.
import { continueIn } from "./bootstrap.mjs";

continueIn("cluster/main.ts", process.argv.slice(2));
