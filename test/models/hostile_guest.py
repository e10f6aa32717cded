"""What a hostile program in a Box does to the gateway's port; prints what came of it. Arguments: what, and a token for some."""

import json
import os
import resource
import select
import socket
import sys

ADDRESS = ("127.0.0.1", 4089)
GOOD = '{"model":"model-1","max_tokens":5,"messages":[]}'


def request(token, target="/anthropic/v1/messages", host="127.0.0.1:4089", lines=(), framing=None, body=GOOD):
    framing = ["content-length: %d" % len(body)] if framing is None else framing
    head = ["POST %s HTTP/1.1" % target, "host: " + host, "x-api-key: " + token, *lines, *framing, "connection: close"]
    return "\r\n".join(head) + "\r\n\r\n" + body


def said(text):
    with socket.create_connection(ADDRESS, timeout=60) as s:
        got = b""
        try:
            s.sendall(text.encode("latin1"))
            while data := s.recv(65536):
                got += data
        except OSError:
            pass
    return [int(line.split()[1]) for line in got.decode("latin1").split("\n") if line.startswith("HTTP/1.1 ")]


def smuggling(token):
    hidden = request(token, target="/anthropic/v1/files")
    chunked = "transfer-encoding: chunked"
    cases = {
        "both lengths": request(token, framing=["content-length: 4", chunked], body="0\r\n\r\n" + hidden),
        "both lengths, the other way": request(token, framing=[chunked, "content-length: 4"], body="0\r\n\r\n" + hidden),
        "two lengths": request(token, framing=["content-length: 4", "content-length: 48"]),
        "a length in hex": request(token, framing=["content-length: 0x30"]),
        "a space before the colon": request(token, framing=["content-length : 48"]),
        "an unknown coding": request(token, framing=["transfer-encoding: xchunked"]),
        "a bare line feed": request(token, lines=["x-bare: a\nx-second: b"]),
        "a folded line": request(token, lines=["x-folded: a\r\n b: c"]),
        "another path": request(token, target="/anthropic/v1/files"),
        "a path that climbs": request(token, target="/anthropic/v1/messages/../organizations"),
        "an absolute URI": request(token, target="http://169.254.169.254/latest/meta-data"),
        "another host": request(token, host="api.anthropic.com"),
        "no token": request(""),
    }
    return {name: said(text) for name, text in cases.items()}


def crowd(_):
    """Ten thousand connections, of which each that is let stand is held to the end."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
    held, poll, refused = {}, select.poll(), 0

    def drop_closed(ms):
        gone = 0
        for fd, _ in poll.poll(ms):
            poll.unregister(fd)
            held.pop(fd).close()
            gone += 1
        return gone

    for _ in range(10_000):
        s = socket.socket()
        s.settimeout(30)
        try:
            s.connect(ADDRESS)
        except OSError:
            refused += 1
            s.close()
            continue
        held[s.fileno()] = s
        poll.register(s, select.POLLIN | select.POLLHUP | select.POLLERR)
        if len(held) > 400:
            refused += drop_closed(0)
    while gone := drop_closed(1000):
        refused += gone
    return {"refused": refused, "held": len(held)}


def endless(token):
    """As fast as it is taken."""
    sent, piece = 0, b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with socket.create_connection(ADDRESS, timeout=60) as s:
        head = request(token, framing=["transfer-encoding: chunked"], body="")
        s.sendall(head.encode() + b'1\r\n{\r\n')
        try:
            while not select.select([s], [], [], 0)[0] and sent < 1 << 30:
                s.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        try:
            answer = s.recv(200).decode("latin1").split("\r\n")[0]
        except OSError as error:
            answer = str(error)
    return {"answer": answer, "sent": sent}


token = sys.argv[2] if len(sys.argv) > 2 else os.environ["ANTHROPIC_API_KEY"]
what = {"crowd": crowd, "smuggling": smuggling, "endless": endless, "once": lambda token: said(request(token))}
print(json.dumps(what[sys.argv[1]](token)))
