"""A context: where code runs, with the process that runs it, and what of its output has come."""

import codecs
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import threading
import time

KERNEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernel.py")
LONGEST_MESSAGE = 256 << 20
#: How long code may go on that was interrupted, before its process is killed.
GRACE_SECONDS = 5
LANGUAGES = ("python", "bash")


class Gone(Exception):
    """Who asked is not there any more."""


class Run:
    """One execution: its events, from whoever reads them off the process, to whoever asked."""

    def __init__(self):
        # Who reads slowly makes the code wait.
        self.events = queue.Queue(maxsize=16)
        self.over = False

    def put(self, event):
        while not self.over:
            try:
                return self.events.put(event, timeout=0.2)
            except queue.Full:
                continue


class Context:
    def __init__(self, language, cwd):
        self.id = secrets.token_hex(10)
        self.language = language
        self.cwd = cwd
        self.turn = threading.Lock()
        self.process = None
        self.closed = False

    def view(self):
        return {"id": self.id, "language": self.language, "cwd": self.cwd}

    def execute(self, code, env_vars, send, still_there):
        """Sends each event. One execution at a time: others wait for their turn."""
        while not self.turn.acquire(timeout=0.5):
            if not still_there():
                raise Gone
        try:
            if self.closed:
                send(error_event("ContextDeleted", "the context has been deleted"))
                send({"type": "end_of_execution"})
                return
            if self.process is None or not self.process.alive():
                try:
                    self.process = self.make(code, env_vars)
                except (OSError, ValueError) as error:
                    send(error_event("KernelFailed", f"the code could not be started: {error!r}"))
                    send({"type": "end_of_execution"})
                    return
                if self.closed:
                    self.process.kill()
            process = self.process
            run = Run()
            process.begin(run, code, env_vars)
            try:
                self.pass_on(process, run, send, still_there)
            finally:
                run.over = True
                process.run = None
                if self.language == "bash":
                    self.process = None  # what it has left in the background goes on
        finally:
            self.turn.release()

    def make(self, code, env_vars):
        if self.language == "python":
            return PythonProcess(self.cwd)
        return BashProcess(self.cwd, code, env_vars)

    def pass_on(self, process, run, send, still_there):
        try:
            while True:
                try:
                    event = run.events.get(timeout=0.5)
                except queue.Empty:
                    if not still_there():
                        raise Gone
                    continue
                send(event)
                if event["type"] == "end_of_execution":
                    return
        except (OSError, Gone):
            self.stop(process, run)
            raise Gone

    def stop(self, process, run):
        """Nobody reads what the code says: it is interrupted, and killed where it goes on."""
        process.interrupt()
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until:
            try:
                if run.events.get(timeout=0.2)["type"] == "end_of_execution":
                    return
            except queue.Empty:
                continue
        process.kill()

    def restart(self):
        """What runs ends with an error; the next code finds an empty context."""
        process = self.process
        if process is not None:
            process.kill()

    def close(self):
        self.closed = True
        self.restart()


class Process:
    """A process group with what it writes."""

    def __init__(self, command, cwd, env, pass_fds=()):
        self.run = None
        self.killed = False
        self.child = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=pass_fds,
        )

    def alive(self):
        """Not from the signal on that kills it: the next code would go to what is about to end."""
        return not self.killed and self.child.poll() is None

    def interrupt(self):
        self.signal(os.kill, signal.SIGINT)

    def kill(self):
        self.killed = True
        self.signal(os.killpg, signal.SIGKILL)

    def signal(self, how, number):
        # Until it is waited for, nobody else has its number.
        if self.child.returncode is None:
            try:
                how(self.child.pid, number)
            except ProcessLookupError:
                pass

    def emit(self, event):
        run = self.run
        if run is not None:
            run.put(event)

    def ended(self):
        code = self.child.wait()
        return f"signal {-code}" if code < 0 else f"exit status {code}"


class PythonProcess(Process):
    """Lives as long as its context, unless it is killed or ends by itself."""

    def __init__(self, cwd):
        requests, ours = os.pipe()
        replies, theirs = os.pipe()
        self.nonce = secrets.token_hex(16)
        command = [sys.executable, KERNEL, str(requests), str(theirs), self.nonce]
        env = {"MPLBACKEND": "Agg", **os.environ, "PYTHONIOENCODING": "utf-8"}
        try:
            super().__init__(command, cwd, env, (requests, theirs))
        except OSError:
            os.close(ours)
            os.close(replies)
            raise
        finally:
            os.close(requests)
            os.close(theirs)
        self.requests = os.fdopen(ours, "wb")
        self.replies = os.fdopen(replies, "rb")
        #: The last mark that each stream has had, and that of the last message that was passed on.
        self.seen = {"stdout": 0, "stderr": 0}
        self.passed = 0
        self.changed = threading.Condition()
        for kind in ("stdout", "stderr"):
            threading.Thread(target=self.read, args=(kind,), daemon=True).start()
        threading.Thread(target=self.listen, daemon=True).start()

    def begin(self, run, code, env_vars):
        self.run = run
        try:
            self.requests.write(json.dumps({"code": code, "env_vars": env_vars}).encode() + b"\n")
            self.requests.flush()
        except OSError:
            pass  # it has just ended, which `listen` says

    def read(self, kind):
        """Text up to a mark belongs before the message of that mark."""
        mark = re.compile(b"\0" + self.nonce.encode() + rb":(\d+)\0")
        longest = len(self.nonce) + 16
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pending = b""
        stream = getattr(self.child, kind)
        while True:
            data = stream.read1(65536)
            pending += data
            while found := mark.search(pending):
                self.text(kind, decoder.decode(pending[: found.start()]))
                pending = pending[found.end() :]
                number = int(found[1])
                with self.changed:
                    self.seen[kind] = number
                    self.changed.notify_all()
                    # What follows the mark follows the message.
                    self.changed.wait_for(lambda: self.passed >= number)
            # The end of it may be the beginning of a mark.
            at = pending.find(b"\0", max(0, len(pending) - longest)) if data else -1
            keep = len(pending) if at < 0 else at
            self.text(kind, decoder.decode(pending[:keep], final=not data))
            pending = pending[keep:]
            if not data:
                with self.changed:
                    self.seen[kind] = sys.maxsize
                    self.changed.notify_all()
                return

    def text(self, kind, text):
        if text:
            self.emit({"type": kind, "text": text})

    def listen(self):
        while True:
            line = self.replies.readline(LONGEST_MESSAGE)
            if not line.endswith(b"\n"):
                break
            message = json.loads(line)
            self.await_mark(message["mark"])
            self.emit(message["event"])
            self.pass_mark(message["mark"])
        self.pass_mark(sys.maxsize)
        self.kill()
        how = self.ended()
        self.await_mark(sys.maxsize)
        self.emit(error_event("KernelDied", f"the kernel ended with {how}; the next code gets a new one"))
        self.emit({"type": "end_of_execution"})

    def pass_mark(self, number):
        with self.changed:
            self.passed = number
            self.changed.notify_all()

    def await_mark(self, number):
        """A moment at most: code may have closed its output, or a child of it may hold it."""
        with self.changed:
            self.changed.wait_for(lambda: min(self.seen.values()) >= number, timeout=1)


class BashProcess(Process):
    """Runs one piece of code; no variable of it is left for the next."""

    def __init__(self, cwd, code, env_vars):
        super().__init__(["bash", "-c", code], cwd, {**os.environ, **env_vars})

    def interrupt(self):
        self.signal(os.killpg, signal.SIGINT)

    def begin(self, run, code, env_vars):
        self.run = run
        run.put({"type": "number_of_executions", "execution_count": 1})
        readers = [threading.Thread(target=self.read, args=(kind,), daemon=True) for kind in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        threading.Thread(target=self.finish, args=(readers,), daemon=True).start()

    def read(self, kind):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        stream = getattr(self.child, kind)
        while data := stream.read1(65536):
            if text := decoder.decode(data):
                self.emit({"type": kind, "text": text})
        if text := decoder.decode(b"", final=True):
            self.emit({"type": kind, "text": text})

    def finish(self, readers):
        how = self.ended()
        for reader in readers:
            reader.join(timeout=1)  # a child in the background may hold its output
        if self.child.returncode != 0:
            self.emit(error_event("CalledProcessError", how))
        self.emit({"type": "end_of_execution"})


def error_event(name, value):
    return {"type": "error", "name": name, "value": value, "traceback": f"{name}: {value}"}
