// Starts a program that is not to outlive this process, says its pid, and waits to be killed.
import { native, shell } from "./scratch.js";

const { pid } = await native.spawn(shell("exec sleep 600", { dieWithParent: true }));
process.stdout.write(`${pid}\n`);
setInterval(() => undefined, 60_000);
