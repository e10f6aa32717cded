"""All that is outside: answers TCP and UDP on each address and port given, and tells what has come in by a device."""
import json
import select
import socket
import struct
import sys
import threading

device, addresses, ports = sys.argv[1], sys.argv[2].split(","), [int(x) for x in sys.argv[3].split(",")]
seen = []


def converse(connection, where):
    with connection:
        while data := connection.recv(70000):
            connection.sendall(f"{where}".encode())


def serve(listener, where):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=converse, args=(connection, where), daemon=True).start()


def echo(s, where):
    while True:
        _, peer = s.recvfrom(70000)
        s.sendto(where.encode(), peer)


def sniff(s):
    while True:
        data, (_, _, kind, _, _) = s.recvfrom(70000)
        if kind == 4:  # what this namespace has sent itself
            continue
        proto = struct.unpack("!H", data[12:14])[0]
        if proto == 0x0800:
            seen.append({"to": socket.inet_ntoa(data[30:34]), "from": socket.inet_ntoa(data[26:30]), "proto": data[23]})
        elif proto == 0x86DD:
            source, to = (socket.inet_ntop(socket.AF_INET6, data[x : x + 16]) for x in (22, 38))
            seen.append({"to": to, "from": source, "proto": data[20]})
        else:
            seen.append({"to": "", "from": "", "proto": proto})


raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind((device, 0))
threading.Thread(target=sniff, args=(raw,), daemon=True).start()
for address in addresses:
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in ports:
        tcp = socket.socket(kind, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address, port))
        tcp.listen(64)
        threading.Thread(target=serve, args=(tcp, f"tcp {address}"), daemon=True).start()
        udp = socket.socket(kind, socket.SOCK_DGRAM)
        udp.bind((address, port))
        threading.Thread(target=echo, args=(udp, f"udp {address}"), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "seen":
        now, seen = seen, []
        print(json.dumps(now), flush=True)
