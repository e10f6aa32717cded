import { expect } from "chai";
import { Registry } from "prom-client";
import { EgressFigures } from "../../../src/metrics/egress-figures.js";
import { RefusedTotals } from "../../../src/net/egress/refused-totals.js";

describe("figures of what was refused", () => {
  it("grow by what each Box's counters have grown, without what was before this daemon", async () => {
    const [register, totals] = [new Registry(), new RefusedTotals()];
    new EgressFigures(register).watch(["metadata", "name"], () => Promise.resolve(totals.all));
    totals.begin("old", { metadata: 100 });
    totals.read("old", { metadata: 103 });
    totals.read("new", { metadata: 2 });
    totals.read("new", { metadata: 5 });
    totals.end("new");
    totals.add("name");
    for (const _ of [1, 2]) {
      const text = await register.metrics();
      expect(text).to.contain('a3s_box_egress_refused_total{reason="metadata"} 8');
      expect(text).to.contain('a3s_box_egress_refused_total{reason="name"} 1');
    }
  });
});
