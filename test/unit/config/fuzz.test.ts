import { expect } from "chai";
import { RuntimeError } from "../../../src/base/errors.js";
import { defaultConfigText } from "../../../src/config/default-text.js";
import { configOf, parseFile } from "../../../src/config/load.js";
import { settingNames } from "../../../src/config/settings.js";
import { inheritedNames } from "../../support/fuzz.js";
import { fuzz } from "../../support/fuzzing/run.js";

describe("a damaged configuration", () => {
  it("is the same each time it is read, or refused with a reason", async function () {
    this.timeout(0);
    await fuzz({
      name: "config",
      seeds: [
        defaultConfigText(),
        'state = "/run/x"\n[sandbox]\nvcpus = 2\n[image]\nplain_http = ["localhost:5000"]\n',
      ],
      words: ['"', "'''", "[", "]", "=", "[[", "\n", "true", "{}", "0x", "nan", ...settingNames, ...inheritedNames],
      tried: (input) => {
        const text = input.toString();
        try {
          const config = configOf(parseFile(text, "a.toml"));
          expect(configOf(parseFile(text, "a.toml"))).to.deep.equal(config);
          expect(Buffer.byteLength(config.socketPath)).to.be.lessThan(108);
          expect(config.socketPath.startsWith("/")).to.equal(true);
          return true;
        } catch (thrown) {
          if (!(thrown instanceof RuntimeError) || thrown.code !== "invalidArgument") throw thrown;
          expect(thrown.message).to.not.equal("");
          return false;
        }
      },
    });
  });
});
