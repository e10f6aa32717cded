import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { imageService, runtimeService } from "../../../../src/cri/grpc/services.js";

const root = join(import.meta.dirname, "../../../..");

/** Names of the RPCs in the proto, by service. */
function rpcsOf(service: string): string[] {
  const proto = readFileSync(join(root, "proto/cri-api/runtime/v1/api.proto"), "utf8");
  const block = new RegExp(`^service ${service} \\{(.*?)^\\}`, "ms").exec(proto)?.[1] ?? "";
  return [...block.matchAll(/^\s*rpc (\w+)\(/gm)].map(([, name]) => name ?? "");
}

const kebab = (name: string) => name.replace(/(?<!^)([A-Z])/g, "-$1").toLowerCase();
const camel = (name: string) => name.charAt(0).toLowerCase() + name.slice(1);

/** Notes which RPC and which function each handler is made from. */
function recordingEdge() {
  const wired: Record<string, string> = {};
  const note = (rpc: string, run: { readonly name: string }) => {
    wired[rpc] = run.name;
    return () => undefined;
  };
  return { wired, edge: { unary: note, stream: note } };
}

describe("the services", () => {
  const all = [...rpcsOf("RuntimeService"), ...rpcsOf("ImageService")];

  it("are those of CRI v0.37.2, 43 RPCs", () => {
    expect(all).to.have.length(43);
  });

  it("have one file per RPC, named after it, and no other", async () => {
    const files = (await readdir(join(root, "src/cri/rpc"))).sort();
    expect(files).to.deep.equal(all.map((name) => `${kebab(name)}.ts`).sort());
  });

  it("export each RPC's function from its file", async () => {
    for (const name of all) {
      const text = await readFile(join(root, "src/cri/rpc", `${kebab(name)}.ts`), "utf8");
      expect(text, name).to.match(new RegExp(`^export (async )?function\\*? ${camel(name)}\\(`, "m"));
    }
  });

  it("wire every RPC to its own function", () => {
    const { wired, edge } = recordingEdge();
    const handlers = { ...runtimeService(edge), ...imageService(edge) };
    expect(Object.keys(handlers).sort()).to.deep.equal(all.map(camel).sort());
    expect(wired).to.deep.equal(Object.fromEntries(all.map((name) => [name, camel(name)])));
  });
});
