"""What an app reads while the daemon is killed under it: nothing is lost, nothing comes twice. Says "reading" when it is time."""
import asyncio
import hashlib
import threading

from a3s_box_sdk import AsyncSandbox, Sandbox, UnavailableException

LINES = 6
COUNT = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo $i; sleep 1; done; exit 0"
EXPECTED = "".join(f"{line}\n" for line in range(1, LINES + 1))

sandbox = Sandbox.create(timeout=600)
try:
    content = bytes(range(256)) * 4096 * 30
    sandbox.files.write("large", content)
    reader = sandbox.files.read("large", format="stream")
    digest = hashlib.sha256(next(reader))
    watch = sandbox.files.watch_dir(".")

    begun = [threading.Event() for _ in range(2)]
    results = {}

    def blocking():
        results["sync"] = sandbox.commands.run(COUNT, on_stdout=lambda _: begun[0].set()).stdout

    async def waiting():
        one = await AsyncSandbox.connect(sandbox.sandbox_id)
        ran = await one.commands.run(COUNT, on_stdout=lambda _: begun[1].set())
        results["async"] = ran.stdout

    threads = [threading.Thread(target=blocking), threading.Thread(target=lambda: asyncio.run(waiting()))]
    for thread in threads:
        thread.start()
    for event in begun:
        assert event.wait(60)
    print("reading", flush=True)
    assert input() == "killed"
    # Nobody is there, and soon somebody is again: what changes nothing is asked until then.
    assert sandbox.get_info().sandbox_id == sandbox.sandbox_id
    for part in reader:
        digest.update(part)
    assert digest.digest() == hashlib.sha256(content).digest()
    for thread in threads:
        thread.join(100)
    assert results == {"sync": EXPECTED, "async": EXPECTED}, results
    try:
        while True:
            watch.get_new_events()
    except UnavailableException as error:
        assert "may have been missed" in str(error), error
    assert sandbox.commands.run("echo alive").stdout == "alive\n"
finally:
    sandbox.kill()
print("done")
