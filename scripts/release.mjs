// npm run release [-- --out DIR] [-- --without-qemu]: a tree that runs on a machine with nothing but a C library, and a package of it.
import { continueIn } from "./bootstrap.mjs";

continueIn("release/main.ts", process.argv.slice(2));
