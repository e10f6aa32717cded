"""Runs code that is posted to it, in contexts that keep their names: HTTP, answers as lines of JSON.

Whoever reaches its port runs what they want as its user, so it listens on the loopback alone unless told otherwise.
"""

import argparse
import json
import os
import select
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from context import LANGUAGES, Context, Gone

LARGEST_BODY = 16 << 20
MOST_CONTEXTS = 64
MOST_CONNECTIONS = 128


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Contexts:
    def __init__(self):
        self.lock = threading.Lock()
        self.by_id = {}
        self.defaults = {}

    def make(self, language, cwd):
        if not os.path.isdir(cwd):
            raise Refused(400, f"{cwd} is no directory")
        with self.lock:
            return self.keep(Context(language, cwd))

    def keep(self, context):
        if len(self.by_id) >= MOST_CONTEXTS:
            raise Refused(429, f"there are {MOST_CONTEXTS} contexts: delete one")
        self.by_id[context.id] = context
        return context

    def get(self, context_id):
        with self.lock:
            context = self.by_id.get(context_id)
        if context is None:
            raise Refused(404, f"Context {context_id} not found")
        return context

    def default(self, language):
        """That of code which names no context."""
        with self.lock:
            context = self.defaults.get(language)
            if context is None:
                context = self.defaults[language] = self.keep(Context(language, home()))
            return context

    def all(self):
        with self.lock:
            return list(self.by_id.values())

    def delete(self, context_id):
        context = self.get(context_id)
        with self.lock:
            self.by_id.pop(context_id, None)
            if self.defaults.get(context.language) is context:
                del self.defaults[context.language]
        context.close()


def home():
    path = os.path.expanduser("~")
    return path if os.path.isdir(path) else "/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    contexts = Contexts()

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def do_DELETE(self):
        self.answer("DELETE")

    def answer(self, method):
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
        try:
            body = self.body()
            match (method, *parts):
                case ("GET", "health"):
                    self.reply(200, "text/plain", b"OK")
                case ("POST", "execute"):
                    self.execute(body)
                case ("GET", "contexts"):
                    self.reply_json(200, [context.view() for context in self.contexts.all()])
                case ("POST", "contexts"):
                    cwd = text_of(body, "cwd") or home()
                    self.reply_json(201, self.contexts.make(language_of(body) or "python", cwd).view())
                case ("DELETE", "contexts", context_id):
                    self.contexts.delete(context_id)
                    self.reply(204, None, b"")
                case ("POST", "contexts", context_id, "restart"):
                    self.contexts.get(context_id).restart()
                    self.reply(204, None, b"")
                case _:
                    raise Refused(404, "Not Found")
        except Refused as refused:
            self.reply(refused.status, "text/plain; charset=utf-8", str(refused).encode())

    def body(self):
        if self.headers.get("Transfer-Encoding") is not None:
            self.close_connection = True
            raise Refused(411, "a body needs a Content-Length")
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            self.close_connection = True
            raise Refused(413, f"a body has at most {LARGEST_BODY} bytes")
        data = self.rfile.read(int(length))
        if not data:
            return {}
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            raise Refused(400, "the body is no JSON") from None
        if not isinstance(body, dict):
            raise Refused(400, "the body is no object")
        return body

    def execute(self, body):
        code = text_of(body, "code")
        context_id = text_of(body, "context_id")
        language = language_of(body)
        if code is None:
            raise Refused(400, "code is missing")
        if context_id is not None and language is not None:
            raise Refused(400, "Only one of context_id or language can be provided")
        env_vars = body.get("env_vars") or {}
        if not isinstance(env_vars, dict) or not all(is_variable(*pair) for pair in env_vars.items()):
            raise Refused(400, "env_vars is no object of names and texts")
        if context_id is None:
            context = self.contexts.default(language or "python")
        else:
            context = self.contexts.get(context_id)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            context.execute(code, env_vars, self.send_line, self.still_there)
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, Gone):
            self.close_connection = True

    def send_line(self, event):
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()

    def still_there(self):
        """False when the client has closed the connection."""
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return not readable or self.connection.recv(1, socket.MSG_PEEK) != b""
        except (OSError, ValueError):
            return False

    def reply_json(self, status, value):
        self.reply(status, "application/json", json.dumps(value).encode())

    def reply(self, status, kind, content):
        self.send_response(status)
        if kind is not None:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def text_of(body, name):
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or ("\0" in value and name != "code")):
        raise Refused(400, f"{name} is no text")
    return value


def language_of(body):
    language = text_of(body, "language")
    if language is None or language in LANGUAGES:
        return language
    raise Refused(400, f"language {language[:100]} is not here, only {' and '.join(LANGUAGES)}")


def is_variable(name, value):
    return isinstance(value, str) and name != "" and "=" not in name and "\0" not in name + value


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    places = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def process_request(self, request, client_address):
        if not self.places.acquire(blocking=False):
            return self.shutdown_request(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # else: a client that has gone
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(prog="interpreter")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=49999)
    given = parser.parse_args()
    server = Server((given.host, given.port), Handler)
    print(f"listening on {given.host}:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        for context in Handler.contexts.all():
            context.close()


main()
