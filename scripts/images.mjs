// npm run images -- TEMPLATE… [--out DIR] [--import]: the images of the templates, from the distribution's packages.
import { continueIn } from "./bootstrap.mjs";

const args = process.argv.slice(2);
continueIn("images/main.ts", args, { needsRoot: args.includes("--import") });
