// First module of an unpacking worker when the project runs from its sources (unpack-pool.ts). Not part of a build.
import { register } from "tsx/esm/api";

register();
await import("./worker.js");
