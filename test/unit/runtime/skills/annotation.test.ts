import { expect } from "chai";
import { sourceOfVolume } from "../../../../src/agents/skills/volume-source.js";
import { isOfSkills, skillsAnnotation, sourcesText, wantedSkills } from "../../../../src/runtime/skills/annotation.js";

const allowing = { annotations: ["skills"] } as const;
const wanted = (value: string, handler: Parameters<typeof wantedSkills>[1] = allowing) =>
  wantedSkills({ annotations: { [skillsAnnotation]: value } }, handler);

describe("the annotation of skills", () => {
  it("names volumes, each once, or one path", () => {
    expect(wantedSkills({ annotations: {} }, undefined)).to.deep.equal({ kind: "none" });
    expect(wanted(" ")).to.deep.equal({ kind: "none" });
    expect(wanted("pdf, forms-2,pdf,")).to.deep.equal({ kind: "volumes", names: ["pdf", "forms-2"] });
    expect(wanted("/opt/skills")).to.deep.equal({ kind: "path", path: "/opt/skills" });
  });

  it("is refused where it says nothing that can be, or its handler does not take it", () => {
    const cases = [
      ["PDF", /: "PDF" is no volume \(up to 64 names/],
      ["../etc", /: "\.\.\/etc" is no volume/],
      ["/skills/../etc", /: "\/skills\/\.\.\/etc" is no absolute path/],
      ["/", /is no absolute path/],
      [Array.from({ length: 65 }, (_none, at) => `v${String(at)}`).join(","), /names too many volumes/],
    ] as const;
    for (const [value, message] of cases) expect(() => wanted(value), value).to.throw(message);
    expect(() => wanted("pdf", { annotations: [] })).to.throw(/is not allowed by the pod's handler/);
    const unknown = (): unknown => wantedSkills({ annotations: { [skillsAnnotation]: "pdf" } }, undefined);
    expect(unknown).to.throw(/is not allowed by the pod's handler/);
  });

  it("names directories for a sandbox of the agents' edge alone", () => {
    const sources = [{ within: "/srv", path: "/srv/skills" }];
    const annotations = { [skillsAnnotation]: sourcesText(sources) };
    expect(wantedSkills({ annotations, madeFor: "agents" }, undefined)).to.deep.equal({ kind: "directories", sources });
    expect(() => wantedSkills({ annotations }, allowing)).to.throw("is no volume");
  });
});

describe("a volume with skills", () => {
  it("is a whole ConfigMap or projected volume of the pod itself", () => {
    const of = (path: string, name = "pdf", uid = "uid-1") => sourceOfVolume(path, name, uid)?.path;
    const volumes = "/var/lib/kubelet/pods/uid-1/volumes";
    for (const kind of ["configmap", "projected"]) {
      const path = `${volumes}/kubernetes.io~${kind}/pdf`;
      expect(of(path)).to.equal(path);
    }
    expect(of(`${volumes}/kubernetes.io~configmap/pdf`, "forms")).to.equal(undefined);
    expect(of(`${volumes}/kubernetes.io~configmap/pdf`, "pdf", "uid-2")).to.equal(undefined);
    expect(of(`${volumes}/kubernetes.io~empty-dir/pdf`)).to.equal(undefined);
    expect(of("/var/lib/kubelet/pods/uid-1/volume-subpaths/pdf/c/0")).to.equal(undefined);
    expect(of("/pods//volumes/kubernetes.io~configmap/pdf", "pdf", "")).to.equal(undefined);
  });

  it("is told from what this daemon has put together", () => {
    expect(isOfSkills("/run/a3s-box/skills/pod-1/0123/now", "pod-1")).to.equal(true);
    expect(isOfSkills("/srv/skills/pdf", "pod-1")).to.equal(false);
  });
});
