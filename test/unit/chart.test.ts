/** deploy/chart, as far as it can be read without helm: values and their schema, what it repeats of elsewhere, the metrics it names. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadYaml, type V1Pod } from "@kubernetes/client-node";
import { expect } from "chai";
import { z } from "zod";
import { packageVersion } from "../../src/base/version.js";
import { neededCapabilities } from "../../src/cli/rights-findings.js";
import { parseFile } from "../../src/config/load.js";
import { rowsIn, textOf } from "../support/documents.js";
import { projectDirectory } from "../support/project.js";

const chart = "deploy/chart";
const schemaSchema: z.ZodType<Schema> = z.looseObject({
  $schema: z.string().optional(),
  additionalProperties: z.unknown().optional(),
  properties: z.lazy(() => z.record(z.string(), schemaSchema)).optional(),
});
interface Schema {
  readonly $schema?: string | undefined;
  readonly additionalProperties?: unknown;
  readonly properties?: Readonly<Record<string, Schema>> | undefined;
}
const mapSchema = z.record(z.string(), z.unknown());

const yaml = async (path: string): Promise<unknown> => {
  const value: unknown = loadYaml(await textOf(`${chart}/${path}`));
  return value;
};
const values = async (): Promise<Record<string, unknown>> => mapSchema.parse(await yaml("values.yaml"));

/** Paths of what is in one and not in the other: objects with members of their own names alone. */
function differences(given: unknown, schema: Schema, at: string): string[] {
  if (schema.properties === undefined) return [];
  const here = mapSchema.parse(given);
  const names = new Set([...Object.keys(here), ...Object.keys(schema.properties)]);
  return [...names].flatMap((name) => {
    const path = `${at}.${name}`;
    const inner = schema.properties?.[name];
    if (inner === undefined) return [`${path} is not in the schema`];
    if (!(name in here)) return [`${path} is not in values.yaml`];
    return differences(here[name], inner, path);
  });
}

/** Objects of the schema that take any name, and are no tables of names. */
function open(schema: Schema, at: string): string[] {
  if (schema.properties === undefined) return [];
  const inner = Object.entries(schema.properties).flatMap(([name, one]) => open(one, `${at}.${name}`));
  return schema.additionalProperties === false ? inner : [at, ...inner];
}

/** Names of the daemon's metrics, and labels of each, as the guide has them (and a test of it with the source). */
async function served(): Promise<Map<string, ReadonlySet<string>>> {
  const found = new Map<string, ReadonlySet<string>>();
  const rows = rowsIn(await textOf("docs/guide/metrics.md"));
  for (const [first = "", second = ""] of rows) {
    const labels = new Set([...second.matchAll(/`([a-z0-9_]+)`/g)].map(([, label = ""]) => label));
    const isHistogram = first.includes("histogram") || second.includes("histogram");
    for (const [, name = ""] of first.matchAll(/`([a-z0-9_]+)`/g)) {
      const whole = name.startsWith("a3s_box_") ? name : `gen_ai_client_inference_${name}`;
      if (isHistogram) for (const end of ["_bucket", "_sum", "_count"]) found.set(`${whole}${end}`, labels);
      found.set(whole, labels);
    }
  }
  return found;
}

/** Of kube-state-metrics, and of every client library. */
const others = [
  "kube_node_status_allocatable",
  "kube_pod_container_resource_requests",
  "process_resident_memory_bytes",
];
const ofScrape = new Set(["instance", "node", "job", "le"]);
const ofModels = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "server_address"];

/** Mistakes in a query of Prometheus: metrics that are not served, labels that they have not. */
function mistakesIn(expression: string, metrics: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const bare = expression.replaceAll(/"[^"]*"/g, '""');
  const names = [...bare.matchAll(/\b(?:a3s_box|gen_ai_client|kube|process)_[a-z_]+\b/g)].map(([name]) => name);
  const unknown = names.filter((name) => !metrics.has(name) && !others.includes(name));
  const labels = [...bare.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(", "));
  labels.push(...[...bare.matchAll(/[{,]([a-z_]+)(?:=|!=|=~|!~)""/g)].map(([, label = ""]) => label));
  const has = (label: string): boolean =>
    ofScrape.has(label) ||
    names.some(
      (name) =>
        others.includes(name) ||
        metrics.get(name)?.has(label) === true ||
        (name.startsWith("gen_ai_") && ofModels.includes(label)),
    );
  return [...unknown, ...labels.filter((label) => !has(label))].map((what) => `${what} in ${expression}`);
}

const ruleSchema = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          annotations: z.object({ summary: z.string(), description: z.string() }),
        }),
      ),
    }),
  ),
});
const dashboardSchema = z.object({
  uid: z.string(),
  templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.string() })) }),
  panels: z.array(
    z.object({
      id: z.number(),
      title: z.string(),
      datasource: z.object({ uid: z.literal("${datasource}") }),
      targets: z.array(z.object({ expr: z.string() })).min(1),
    }),
  ),
});

describe("the chart", () => {
  it("has a schema that knows every value of values.yaml and no other, and is closed", async () => {
    const schema = schemaSchema.parse(JSON.parse(await textOf(`${chart}/values.schema.json`)));
    expect(schema.$schema).to.equal("https://json-schema.org/draft/2020-12/schema");
    expect(differences(await values(), schema, "")).to.deep.equal([]);
    // Charts that have this one as a part give it values of theirs there.
    expect(open(schema, "")).to.deep.equal([".global"]);
  });

  it("says of every value what it is", async () => {
    const lines = (await textOf(`${chart}/values.yaml`)).split("\n");
    const silent: string[] = [];
    /** Whether what stands above at this depth was explained: its members may go without. */
    const explained: { readonly depth: number; readonly said: boolean }[] = [];
    for (const [at, line] of lines.entries()) {
      const [, blanks = "", name = "", rest = ""] = /^( *)([A-Za-z0-9_]+):(.*)$/.exec(line) ?? [];
      if (name === "") continue;
      while ((explained.at(-1)?.depth ?? -1) >= blanks.length) explained.pop();
      const said = /^ *#/.test(lines[at - 1] ?? "") || explained.some((one) => one.said);
      explained.push({ depth: blanks.length, said });
      if (!said && rest.trim() !== "") silent.push(line.trim());
    }
    expect(silent).to.deep.equal([]);
  });

  it("is of this version", async () => {
    expect(await yaml("Chart.yaml")).to.include({ version: packageVersion(), appVersion: packageVersion() });
    const pod = loadYaml<V1Pod>(await textOf("deploy/sidecar/pod.yaml"));
    expect(pod.spec?.initContainers?.[0]?.image).to.equal(`a3s-box:${packageVersion()}`);
  });

  it("has the seccomp profile that is shipped, and the capabilities that check looks for", async () => {
    expect(await textOf(`${chart}/files/seccomp.json`)).to.equal(await textOf("deploy/seccomp.json"));
    const container = await textOf(`${chart}/templates/_container.tpl`);
    const list = /define "a3s-box.capabilities" -}}\n(.*?)\n\{\{- end/s.exec(container)?.[1]?.split("\n") ?? [];
    expect(list.map((line) => line.replace("- ", ""))).to.have.members([...neededCapabilities.values()]);
    const pod = loadYaml<V1Pod>(await textOf("deploy/sidecar/pod.yaml"));
    const added = pod.spec?.initContainers?.[0]?.securityContext?.capabilities?.add;
    expect(added).to.have.members([...neededCapabilities.values()]);
  });

  it("has the RuntimeClasses and handlers of deploy/", async () => {
    const { cri } = z
      .looseObject({
        cri: z.looseObject({
          config: z.looseObject({ handlers: mapSchema }),
          runtimeClasses: z.array(z.looseObject({ name: z.string(), handler: z.string(), overhead: mapSchema })),
        }),
      })
      .parse(await values());
    for (const { name, handler, overhead } of cri.runtimeClasses) {
      const there: unknown = loadYaml(await textOf(`deploy/runtimeclass/${name}.yaml`));
      expect(there, name).to.deep.include({ handler, overhead: { podFixed: overhead } });
    }
    expect(cri.runtimeClasses.map(({ name }) => `${name}.yaml`)).to.have.members(
      await readdir(join(projectDirectory, "deploy/runtimeclass")),
    );
    const sample = parseFile(await textOf("deploy/handlers.toml"), "handlers.toml").get("handlers")?.value;
    expect(cri.config.handlers).to.deep.equal(sample);
  });

  it("has the operator's CRD and rights as they are where it is made", async () => {
    expect(await textOf(`${chart}/files/crds/a3sboxes.yaml`)).to.equal(await textOf("operator/crds/a3sboxes.yaml"));
    const roles = (await textOf("deploy/operator/rbac.yaml")).split(/^---$/m);
    const role = roles.find((text) => /^kind: ClusterRole$/m.test(text)) ?? "";
    const { rules } = z
      .looseObject({ rules: z.array(mapSchema) })
      .parse(loadYaml(role.replace("kind: ClusterRole", "")));
    expect(await yaml("files/operator-rules.yaml")).to.deep.equal(rules);
  });

  it("names in alerts metrics that are served, with labels that they have", async () => {
    const metrics = await served();
    expect(metrics.size).to.be.greaterThan(30);
    const { groups } = ruleSchema.parse(await yaml("files/rules.yaml"));
    const rules = groups.flatMap(({ rules: some }) => some);
    expect(rules.length).to.be.greaterThan(7);
    expect(rules.flatMap(({ expr }) => mistakesIn(expr, metrics))).to.deep.equal([]);
  });

  it("names in dashboards metrics that are served, with labels that they have, of a data source to choose", async () => {
    const metrics = await served();
    for (const name of await readdir(join(projectDirectory, chart, "files/dashboards"))) {
      const text = await readFile(join(projectDirectory, chart, "files/dashboards", name), "utf8");
      const { panels, templating, uid } = dashboardSchema.parse(JSON.parse(text));
      expect(`${uid}.json`).to.equal(name);
      expect(templating.list[0]).to.include({ name: "datasource", type: "datasource" });
      expect(new Set(panels.map(({ id }) => id)).size).to.equal(panels.length);
      const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
      expect(expressions.flatMap((expression) => mistakesIn(expression, metrics))).to.deep.equal([]);
      for (const expression of expressions.filter((one) => /\b(?:rate|increase)\(/.test(one))) {
        expect(expression).to.contain("[$__rate_interval]");
      }
    }
  });

  it("finds a metric that is not served, and a label that it has not", async () => {
    const metrics = await served();
    expect(mistakesIn("sum by (state) (a3s_box_nothing)", metrics)).to.have.length(2);
    expect(mistakesIn('a3s_box_sandboxes{stage="x"}', metrics)).to.have.length(1);
    expect(mistakesIn('sum by (state) (a3s_box_sandboxes{instance=~"x"})', metrics)).to.deep.equal([]);
  });
});
