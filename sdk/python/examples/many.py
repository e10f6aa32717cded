"""Several sandboxes at once, with asyncio; and a server in one of them, reached from here."""

import asyncio

from a3s_box_sdk import AsyncSandbox


async def main() -> None:
    first, second = await asyncio.gather(AsyncSandbox.create(timeout=300), AsyncSandbox.create(timeout=300))
    async with first, second:
        results = await asyncio.gather(first.commands.run("echo one"), second.commands.run("echo two"))
        print([result.stdout.strip() for result in results])
        server = await second.commands.start("while :; do echo answer | nc -l -p 7000 2>/dev/null; done", timeout=0)
        while True:
            try:
                reader, writer = await second.ports.connect(7000)
            except Exception:
                await asyncio.sleep(0.1)
                continue
            line = await reader.readline()
            writer.close()
            if line:
                break
        print(line.decode().strip())
        await server.kill()


asyncio.run(main())
