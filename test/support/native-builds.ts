/** The addon and the launcher that tests run: with `A3S_SANITIZED=1` those with AddressSanitizer and UBSan (sanitized.ts). */
import { join } from "node:path";
import { projectDirectory } from "./project.js";

const assets = join(projectDirectory, "build/assets");

/** A directory for `loadNative`. */
export const nativeAssets = process.env["A3S_SANITIZED"] === "1" ? join(assets, "sanitized") : assets;
export const addonFile = join(nativeAssets, "native/a3s_box.node");
export const launcherProgram = join(nativeAssets, "bin/a3s-box-launcher");
