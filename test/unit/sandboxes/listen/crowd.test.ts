import { createServer, connect, type Server, type Socket } from "node:net";
import { expect } from "chai";
import { Crowd } from "../../../../src/sandboxes/listen/crowd.js";
import { groupOwner } from "../../../../src/sandboxes/listen/who/group-owner.js";

describe("a crowd of connections", () => {
  let server: Server;
  const clients: Socket[] = [];
  before(async () => {
    server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.destroy();
  });
  after(() => {
    server.close();
  });

  async function sockets(count: number): Promise<Socket[]> {
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const all: Socket[] = [];
    for (let number = 0; number < count; number += 1) {
      const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
      clients.push(connect(port).on("error", () => undefined));
      all.push(await accepted);
    }
    return all;
  }

  const open = (all: readonly Socket[]): number[] => all.flatMap(({ destroyed }, at) => (destroyed ? [] : [at]));

  it("has the oldest of the largest go that has said nothing", async () => {
    const crowd = new Crowd({ inAll: 4, ofPeer: 3 });
    const all = await sockets(5);
    const peers = ["a", "b", "b", "b", "c"];
    for (const [at, socket] of all.entries()) expect(crowd.enter(socket, peers[at] ?? "")).to.not.equal(undefined);
    expect(open(all)).to.deep.equal([0, 2, 3, 4]);
  });

  it("lets nobody push out who was heard", async () => {
    const crowd = new Crowd({ inAll: 2, ofPeer: 2 });
    const heard = await sockets(2);
    for (const socket of heard) crowd.enter(socket, "a")?.heard();
    const [late, later] = [await sockets(1), await sockets(1)];
    for (const socket of late) expect(crowd.enter(socket, "b")).to.equal(undefined);
    const [first] = heard;
    const closed = new Promise((resolve) => first?.once("close", resolve));
    first?.destroy();
    await closed;
    for (const socket of later) expect(crowd.enter(socket, "b")).to.not.equal(undefined);
    expect(crowd.size).to.equal(2);
  });

  it("counts a connection with the tenant that it turns out to be of", async () => {
    const crowd = new Crowd({ inAll: 10, ofPeer: 2 });
    const all = await sockets(4);
    const members = all.map((socket, at) => {
      const member = crowd.enter(socket, at < 2 ? "unix" : "other");
      if (at < 2) {
        expect(member?.belongsTo("team-a")).to.equal(true);
        member?.heard();
      }
      return member;
    });
    expect(members[2]?.belongsTo("team-a")).to.equal(false);
    expect(members[3]?.belongsTo("team-b")).to.equal(true);
    expect(open(all)).to.have.length(4);
  });
});

describe("the owner of a process, by its control groups", () => {
  const uid = "0f3c2a1b-1111-2222-3333-444455556666";
  const other = "99999999-1111-2222-3333-444455556666";
  const slice = (one: string): string => one.replaceAll("-", "_");
  const id = "c".repeat(64);
  const machine = { kind: "machine" };

  for (const [text, wanted] of [
    [`0::/kubepods/pod${uid}/${id}`, { kind: "pod", uid }],
    [`0::/kubepods/burstable/pod${uid}/${id}`, { kind: "pod", uid }],
    [`0::/kubepods/besteffort/pod${"a".repeat(32)}/${id}`, { kind: "pod", uid: "a".repeat(32) }],
    [`0::/kubepods.slice/kubepods-pod${slice(uid)}.slice/cri-containerd-${id}.scope`, { kind: "pod", uid }],
    [
      `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${slice(uid)}.slice/a3s-box-${id}.scope/agent`,
      { kind: "pod", uid },
    ],
    [
      `0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${slice(uid)}.slice/x`,
      { kind: "pod", uid },
    ],
    [`4:memory:/kubepods/pod${uid}/x\n2:cpu:/\n0::/`, { kind: "pod", uid }],
    [`0::/a3s-box/${id}/agent`, { kind: "box", id }],
    [`0::/a3s.slice/a3s-box-${id}.scope/container`, { kind: "box", id }],
    [`0::/`, machine],
    [`0::/system.slice/ssh.service`, machine],
    [`0::/user.slice/user-0.slice/session-1.scope`, machine],
    // What somebody makes in a group of his own is below it.
    [`0::/kubepods/pod${other}/${id}/kubepods/pod${uid}`, { kind: "pod", uid: other }],
    [`0::/kubepods/pod${other}/a3s-box/${id}`, { kind: "pod", uid: other }],
    [`0::/pod${uid}`, machine],
    [`0::/user.slice/pod${uid}/x`, machine],
    [`0::/docker/${id}/kubepods/pod${uid}`, { kind: "box", id }],
    [
      `0::/system.slice/docker-${id}.scope/kubepods/pod${uid}`,
      { kind: "container", group: `/system.slice/docker-${id}.scope/kubepods/pod${uid}` },
    ],
    // A process of two pods is nobody's.
    [
      `4:memory:/kubepods/pod${uid}\n3:cpu:/kubepods/pod${other}`,
      { kind: "container", group: `/kubepods/pod${other}` },
    ],
    // From a cgroup namespace of its own: other pods of its class, of another one, and without a class.
    [`0::/../../pod${uid}/${id}`, { kind: "pod", uid }],
    [`0::/../../../besteffort/pod${uid}/${id}`, { kind: "pod", uid }],
    [`0::/../../../pod${uid}/${id}`, { kind: "pod", uid }],
    [`0::/../../kubepods-burstable-pod${slice(uid)}.slice/cri-containerd-${id}.scope`, { kind: "pod", uid }],
    [
      `0::/../../../kubepods-besteffort.slice/kubepods-besteffort-pod${slice(uid)}.slice/cri-containerd-${id}.scope`,
      { kind: "pod", uid },
    ],
    [`0::/../../pod${other}/${id}/pod${uid}`, { kind: "pod", uid: other }],
    [`0::/../pod${uid}/x`, { kind: "unseen" }],
    [`0::/../${id}`, { kind: "unseen" }],
    [`0::/../../../../system.slice/ssh.service`, { kind: "unseen" }],
    [`0::/../../../../user.slice/user-1000.slice/user@1000.service/pod${uid}`, { kind: "unseen" }],
    [`0::/../../../../user.slice/user-1000.slice/user@1000.service/kubepods/pod${uid}`, { kind: "unseen" }],
    [`0::/../../x/../pod${uid}`, { kind: "unseen" }],
    [`0::/../..`, { kind: "unseen" }],
    ["", machine],
  ] as const) {
    it(`is ${wanted.kind} in ${text.replaceAll("\n", ", ").replaceAll(id, "ID").slice(0, 100)}`, () => {
      expect(groupOwner(text)).to.deep.equal(wanted);
    });
  }

  it("is no pod for users and services of the machine, whose own groups may have any name", () => {
    for (const [above, name] of [
      ["/user.slice/user-1000.slice/user@1000.service/kubepods.slice", `kubepods-pod${slice(uid)}.slice`],
      ["/user.slice/user-1000.slice/user@1000.service", `kubepods-pod${slice(uid)}.slice`],
      ["/user.slice/user-1000.slice/session-1.scope/kubepods", `pod${uid}`],
      ["/system.slice/some.service/kubepods/burstable", `pod${uid}`],
      ["/system.slice/some.service", id],
    ] as const) {
      expect(groupOwner(`0::${above}/${name}/x.scope`).kind, above).to.be.oneOf(["machine", "container"]);
      expect(groupOwner(`0::/../../../..${above}/${name}/x.scope`), above).to.deep.equal({ kind: "unseen" });
    }
  });
});
