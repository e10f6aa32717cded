/** Who may import whom: the table of ARCHITECTURE.md as code. */
const only = (from, to) => ({
  name: `${from}-imports`,
  severity: "error",
  comment: `src/${from} may import only: ${[from, ...to].join(", ")}`,
  from: { path: `^src/${from}/` },
  to: { path: "^src/", pathNot: [from, ...to].map((d) => `^src/${d}/`) },
});

/** `runtime` is the engine, `cri` an edge of it: grpc → rpc → the engine; nothing goes back up. */
module.exports = {
  forbidden: [
    only("base", []),
    only("gen", []),
    only("config", ["base"]),
    only("metrics", ["base"]),
    only("native", ["base"]),
    only("store", ["base", "native"]),
    only("streaming", ["base", "config"]),
    only("net", ["base", "config", "native"]),
    only("image", ["base", "config", "native", "store"]),
    only("vmm", ["base", "config", "native", "gen"]),
    only("runtime", ["base", "config", "metrics", "native", "store", "streaming", "net", "image", "vmm", "gen"]),
    only("cri", ["base", "config", "metrics", "native", "store", "streaming", "net", "image", "vmm", "gen", "runtime"]),
    {
      name: "only-the-edge-speaks-cri",
      severity: "error",
      comment: "the engine and what is below it have plain values of their own (docs/adr/0097)",
      from: { path: "^src/", pathNot: "^src/(cri|gen)/" },
      to: { path: "^src/gen/runtime/" },
    },
    {
      name: "grpc-at-the-edge",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(cri/grpc|vmm/agent|gen)/" },
      to: { path: "node_modules/@grpc/" },
    },
    {
      name: "rpcs-are-alone",
      severity: "error",
      comment: "two RPCs never import each other; what they share stands in cri/ or in the engine",
      from: { path: "^src/cri/rpc/([^/]+)\\.ts$" },
      to: { path: "^src/cri/rpc/", pathNot: "^src/cri/rpc/$1\\.ts$" },
    },
    {
      name: "rpcs-know-no-grpc",
      severity: "error",
      from: { path: "^src/cri/", pathNot: "^src/cri/grpc/" },
      to: { path: "^src/cri/grpc/" },
    },
    {
      name: "only-main-wires",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(main\\.ts|cli/)" },
      to: { path: "^src/(main\\.ts|cli/)" },
    },
    {
      name: "no-cycles",
      severity: "error",
      from: {},
      to: { circular: true },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { extensions: [".ts", ".js"] },
  },
};
