"""A sandbox, a command in it, a file: from nothing to the end."""

from a3s_box_sdk import CommandExitException, Sandbox

with Sandbox.create(timeout=300) as sandbox:
    sandbox.files.write("hello.sh", "echo hello from $(uname -n | wc -c) letters\n")
    print(sandbox.commands.run("sh hello.sh").stdout, end="")
    try:
        sandbox.commands.run("exit 7")
    except CommandExitException as error:
        print("exit code", error.exit_code)
