"""A program that is left alone, and whose output is taken up again where it was left."""

from a3s_box_sdk import Sandbox

with Sandbox.create(timeout=300) as sandbox:
    counting = sandbox.commands.start("for i in 1 2 3; do echo $i; read -r _; done", stdin=True, timeout=0)
    for out, err, _ in counting:
        print("first reader:", out.strip())
        break
    counting.disconnect()
    counting.send_stdin("\n\n\n")
    again = sandbox.commands.connect(counting.pid)
    print("second reader:", again.wait().stdout.split())
