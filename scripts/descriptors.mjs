/**
 * What our services on the agents' edge are made of, for clients that ask (gRPC's reflection): descriptors of the protos as
 * a module, `src/gen/descriptors.ts`. CRI, kubelet's contract with device plugins and the agent's are spoken elsewhere.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const elsewhere = /^(?:runtime|agent|deviceplugin)\//;
const words = ["build", "--as-file-descriptor-set", "--exclude-source-info", "-o", "-#format=bin"];
const all = execFileSync("node", ["node_modules/.bin/buf", ...words], { maxBuffer: 64 * 1024 * 1024 });
const file = fromBinary(FileDescriptorSetSchema, all).file.filter(({ name }) => !elsewhere.test(name));
const set = Buffer.from(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file })));
mkdirSync("src/gen", { recursive: true });
writeFileSync(
  "src/gen/descriptors.ts",
  `/* Made by scripts/descriptors.mjs. */

/** A google.protobuf.FileDescriptorSet, base64. */
export const descriptorSet =
  "${set.toString("base64")}";
`,
);
