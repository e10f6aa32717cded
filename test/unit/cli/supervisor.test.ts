import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { createLogger } from "../../../src/base/log.js";
import { Supervisor } from "../../../src/cli/supervisor.js";

const log = createLogger("error");

function told(environment: Record<string, string>, fail = false): { supervisor: Supervisor; texts: string[] } {
  const texts: string[] = [];
  const notifySocket = (path: string, text: string): void => {
    if (fail) throw new Error("nobody listens");
    texts.push(`${path} ${text}`);
  };
  return { supervisor: new Supervisor({ notifySocket }, log, environment), texts };
}

describe("the service manager", () => {
  it("is told when CRI is served, and when the daemon stops", () => {
    const { supervisor, texts } = told({ NOTIFY_SOCKET: "/run/n" });
    supervisor.ready();
    supervisor.stopping();
    expect(texts).to.deep.equal(["/run/n READY=1", "/run/n STOPPING=1"]);
  });

  it("hears of the daemon before half of its watchdog's time is over, until the end", async () => {
    const { supervisor, texts } = told({
      NOTIFY_SOCKET: "@n",
      WATCHDOG_USEC: "20000",
      WATCHDOG_PID: String(process.pid),
    });
    supervisor.ready();
    await delay(200);
    supervisor.close();
    const heard = texts.filter((text) => text === "@n WATCHDOG=1").length;
    expect(heard).to.be.greaterThan(1);
    await delay(50);
    expect(texts.filter((text) => text === "@n WATCHDOG=1")).to.have.length(heard);
  });

  it("is not told anything where there is none, or where the watchdog is another process's", async () => {
    const none = told({});
    none.supervisor.ready();
    none.supervisor.stopping();
    expect(none.texts).to.deep.equal([]);
    const other = told({ NOTIFY_SOCKET: "@n", WATCHDOG_USEC: "2000", WATCHDOG_PID: "1" });
    other.supervisor.ready();
    await delay(50);
    expect(other.texts).to.deep.equal(["@n READY=1"]);
  });

  it("does not stop the daemon by not listening", () => {
    told({ NOTIFY_SOCKET: "/run/n" }, true).supervisor.ready();
  });
});
