"""What E2B's code interpreter asks at port 49999, as far as the tests go: one context, the standard library alone."""
import contextlib
import io
import json
import socket
import threading
import traceback

scope = {}
count = 0


def run(code):
    global count
    count += 1
    out = io.StringIO()
    lines = []
    try:
        *before, last = code.strip().split("\n") or [""]
        with contextlib.redirect_stdout(out):
            exec("\n".join(before), scope)
            try:
                value = eval(last, scope)
            except SyntaxError:
                value = exec(last, scope)
        if value is not None:
            lines.append({"type": "result", "text": repr(value), "is_main_result": True})
    except Exception as error:
        told = {"name": type(error).__name__, "value": str(error), "traceback": traceback.format_exc()}
        lines.append({"type": "error", **told})
    said = [{"type": "stdout", "text": out.getvalue()}] if out.getvalue() else []
    return said + lines + [{"type": "number_of_executions", "execution_count": count}, {"type": "end_of_execution"}]


def serve(connection):
    with connection, connection.makefile("rb") as reader:
        first = reader.readline().decode().split(" ")
        length = 0
        for line in iter(reader.readline, b"\r\n"):
            name, _, value = line.decode().partition(":")
            if name.lower() == "content-length":
                length = int(value)
            if line == b"":
                return
        body = reader.read(length)
        lines = run(json.loads(body)["code"]) if first[:2] == ["POST", "/execute"] else [{"status": "ok"}]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        connection.sendall((head + "Connection: close\r\n\r\n").encode() + content)


listener = socket.create_server(("127.0.0.1", 49999))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
