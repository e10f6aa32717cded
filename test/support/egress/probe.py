"""What a guest tries, in the network namespace that it is run in: JSON of a list of tries in, JSON of outcomes out."""
import itertools
import json
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor

LIMIT = 1.0
marks = itertools.count(77)


def family(to):
    return socket.AF_INET6 if ":" in to else socket.AF_INET


def outcome(work):
    began = time.monotonic()
    try:
        return work()
    except (TimeoutError, BlockingIOError):
        return "silence"
    except OSError as error:
        names = {111: "refused", 113: "unreachable", 13: "unreachable", 101: "no route", 104: "reset", 1: "unreachable"}
        return names.get(error.errno, str(error))


def tcp(to, port, say="hello", limit=LIMIT):
    def work():
        with socket.socket(family(to), socket.SOCK_STREAM) as s:
            s.settimeout(limit)
            s.connect((to, port))
            s.sendall(say.encode())
            return s.recv(1000).decode("latin1")

    return outcome(work)


def udp(to, port, size=5, limit=LIMIT):
    def work():
        with socket.socket(family(to), socket.SOCK_DGRAM) as s:
            s.settimeout(limit)
            s.connect((to, port))
            s.send(b"x" * size)
            return s.recv(70000).decode("latin1")

    return outcome(work)


def ping(to, limit=LIMIT):
    mark = next(marks)

    def work():
        v6 = ":" in to
        proto = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
        with socket.socket(family(to), socket.SOCK_RAW, proto) as s:
            s.settimeout(limit)
            body = struct.pack("!HH", mark, 1) + b"ping"
            kind = 128 if v6 else 8
            total = struct.pack("!BBH", kind, 0, 0) + body
            if not v6:
                words = sum(struct.unpack("!%dH" % (len(total) // 2), total))
                words = (words >> 16) + (words & 0xFFFF)
                total = struct.pack("!BBH", kind, 0, ~(words + (words >> 16)) & 0xFFFF) + body
            s.sendto(total, (to, 0))
            end = time.monotonic() + limit
            while time.monotonic() < end:
                got = s.recv(2000)
                answer = got if v6 else got[20:]
                if answer[0] == (129 if v6 else 0) and answer[4:6] == body[:2]:
                    return "pong"
                if answer[0] == (1 if v6 else 3) and struct.pack("!HH", mark, 1) in answer:
                    return "unreachable"
            return "silence"

    return outcome(work)


def question(name, kind):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
    return struct.pack("!6H", 4711, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!HH", kind, 1)


def after_name(message, at):
    """Of labels, or a pointer to some."""
    while message[at] and message[at] < 192:
        at += message[at] + 1
    return at + (2 if message[at] else 1)


def answers(message):
    rcode = message[3] & 15
    if rcode:
        return "rcode %d" % rcode
    count = struct.unpack("!H", message[6:8])[0]
    at = after_name(message, 12) + 4
    found = []
    for _ in range(count):
        at = after_name(message, at) - 2
        length = struct.unpack("!H", message[at + 10 : at + 12])[0]
        data = message[at + 12 : at + 12 + length]
        found.append(socket.inet_ntop(socket.AF_INET6 if length == 16 else socket.AF_INET, data))
        at += 12 + length
    return sorted(found)


def dns(server, name, kind=1, by="udp", limit=3.0):
    def work():
        asked = question(name, kind)
        with socket.socket(family(server), socket.SOCK_DGRAM if by == "udp" else socket.SOCK_STREAM) as s:
            s.settimeout(limit)
            s.connect((server, 53))
            if by == "udp":
                s.send(asked)
                return answers(s.recv(4000))
            s.sendall(struct.pack("!H", len(asked)) + asked)
            got = s.recv(4000)
            while len(got) < 2 or len(got) < 2 + struct.unpack("!H", got[:2])[0]:
                got += s.recv(4000)
            return answers(got[2:])

    return outcome(work)


def frame(device, hex):
    """Whatever it is, as it is; nothing is waited for."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((device, 0))
        s.send(bytes.fromhex(hex))
    return "sent"


KNOWN = {"tcp": tcp, "udp": udp, "ping": ping, "dns": dns, "frame": frame}


def hold(to, port):
    """One connection, a word for each line of input."""
    with socket.socket(family(to), socket.SOCK_STREAM) as s:
        s.settimeout(3)
        s.connect((to, port))
        print("connected", flush=True)
        for line in sys.stdin:
            def work():
                s.sendall(line.encode())
                return s.recv(1000).decode("latin1").strip() or "closed"

            print(outcome(work), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold(sys.argv[2], int(sys.argv[3]))
    else:
        with ThreadPoolExecutor(16) as pool:  # most of what is kept is waited for
            outcomes = pool.map(lambda one: KNOWN[one.pop("do")](**one), json.loads(sys.argv[1]))
            print(json.dumps(list(outcomes)))
