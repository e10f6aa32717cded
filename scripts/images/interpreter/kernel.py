"""Runs the code of one context, in a process of its own: names that one piece of code has made are there for the next.

Requests come as lines of JSON by one descriptor, results and errors go by another. What the code writes goes where the
code writes it: to descriptors 1 and 2. A mark is written there before each message, so that who reads all three can put
them in order.
"""

import ast
import base64
import inspect
import json
import linecache
import os
import signal
import sys
import traceback
import types

LONGEST_TEXT = 1 << 20
LONGEST_PART = 16 << 20

PARTS = {
    "html": "_repr_html_",
    "markdown": "_repr_markdown_",
    "svg": "_repr_svg_",
    "png": "_repr_png_",
    "jpeg": "_repr_jpeg_",
    "latex": "_repr_latex_",
    "json": "_repr_json_",
}


class Kernel:
    def __init__(self, requests, replies, nonce):
        self.requests = requests
        self.replies = replies
        self.nonce = nonce
        self.marks = 0
        self.count = 0
        self.loop = None
        self.running = self.sending = self.interrupted = False
        main = types.ModuleType("__main__")
        main.__dict__.update(__builtins__=__builtins__, display=self.display)
        sys.modules["__main__"] = main
        self.names = main.__dict__

    def serve(self):
        signal.signal(signal.SIGINT, self.on_interrupt)
        while line := self.requests.readline():
            request = json.loads(line)
            self.execute(request["code"], request["env_vars"])
            self.send({"type": "end_of_execution"})

    def on_interrupt(self, *_):
        """Ends the code, never in the middle of a message; one that comes when no code runs was meant for what has ended."""
        if self.sending:
            self.interrupted = self.running
        elif self.running:
            raise KeyboardInterrupt

    def execute(self, code, env_vars):
        self.count += 1
        self.send({"type": "number_of_executions", "execution_count": self.count})
        before = dict(os.environ)
        try:
            self.running = True
            os.environ.update(env_vars)
            value = self.run(code)
            if value is not None:
                self.names["_"] = value
                self.send_result(value, True)
            self.send_figures(value)
        except BaseException as error:  # SystemExit and KeyboardInterrupt end the code, not the kernel
            self.running = False
            self.send_error(error)
        finally:
            self.running = False
            os.environ.clear()
            os.environ.update(before)

    def run(self, code):
        """The value of the last expression, None where the code ends in a statement or in a semicolon."""
        name = f"<cell {self.count}>"
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        tree = ast.parse(code, name)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not code.rstrip().endswith(";"):
            last = ast.Expression(tree.body.pop().value)
        self.evaluate(tree, name, "exec")
        return None if last is None else self.evaluate(last, name, "eval")

    def evaluate(self, tree, name, mode):
        compiled = compile(tree, name, mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        value = eval(compiled, self.names)
        if not compiled.co_flags & inspect.CO_COROUTINE:
            return value
        import asyncio  # many never await

        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(value)

    def display(self, *values):
        for value in values:
            self.send_result(value, False)

    def send_result(self, value, is_main):
        self.send({"type": "result", **parts_of(value), "is_main_result": is_main})

    def send_figures(self, shown):
        """What has been drawn with matplotlib and is still open, where it is there."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None:
            return
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            if figure is not shown:
                self.send_result(figure, False)
        pyplot.close("all")

    def send_error(self, error):
        trace = error.__traceback__
        while trace is not None and not trace.tb_frame.f_code.co_filename.startswith("<cell "):
            trace = trace.tb_next
        try:
            value = str(error)
        except BaseException as worse:
            value = f"<no text: {type(worse).__name__}>"
        try:
            text = "".join(traceback.format_exception(type(error), error, trace))
        except BaseException:
            text = f"{type(error).__name__}: {value}"
        name = type(error).__name__
        self.send({"type": "error", "name": name, "value": shortened(value), "traceback": shortened(text)})

    def send(self, message):
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass  # the code has put something else there, or closed it
        self.sending = True
        self.marks += 1
        mark = f"\0{self.nonce}:{self.marks}\0".encode()
        for descriptor in (1, 2):
            try:
                os.write(descriptor, mark)
            except OSError:
                pass  # closed by the code: nothing more will come
        self.replies.write(json.dumps({"mark": self.marks, "event": message}).encode() + b"\n")
        self.replies.flush()
        self.sending = False
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt


def parts_of(value):
    parts = {"text": shortened(called(lambda: repr(value)) or f"<{type(value).__name__} without a text>")}
    if isinstance(value, type):
        return parts
    for part, method in PARTS.items():
        made = called(getattr(value, method)) if hasattr(value, method) else None
        if isinstance(made, tuple) and made:
            made = made[0]  # with metadata
        if isinstance(made, bytes):
            made = base64.b64encode(made).decode()
        if made is not None and len(called(lambda: json.dumps(made)) or " " * (LONGEST_PART + 1)) <= LONGEST_PART:
            parts[part] = made
    if "png" not in parts and type(value).__module__ == "matplotlib.figure":
        drawn = called(lambda: png_of(value))
        if drawn is not None:
            parts["png"] = drawn
    return parts


def png_of(figure):
    import io

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", bbox_inches="tight")
    return base64.b64encode(drawn.getvalue()).decode()


def called(function):
    """None where an object's own code fails: a result is shown by what is left."""
    try:
        return function()
    except Exception:
        return None


def shortened(text):
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"


def main():
    requests, replies, nonce = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    for descriptor in (requests, replies):
        os.set_inheritable(descriptor, False)
    sys.argv = [""]
    sys.path[0] = ""
    # Text of the code comes at once, as on a terminal.
    sys.stdout.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")
    sys.stderr.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")
    Kernel(os.fdopen(requests, "rb"), os.fdopen(replies, "wb"), nonce).serve()


main()
