import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** Those of the texts that are anywhere in the memory of a process. */
export async function foundInMemory(pid: number, texts: readonly string[]): Promise<string[]> {
  const script = `
import re, sys
pid, texts = sys.argv[1], [text.encode() for text in sys.argv[2:]]
found = {text: False for text in texts}
with open(f"/proc/{pid}/mem", "rb", 0) as memory:
    for line in open(f"/proc/{pid}/maps"):
        first, last, rights = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\\S+)", line).groups()
        if not rights.startswith("r"):
            continue
        at, end, rest = int(first, 16), int(last, 16), b""
        while at < end:
            try:
                memory.seek(at)
                piece = memory.read(min(1 << 24, end - at))
            except (OSError, ValueError, OverflowError):
                break
            if not piece:
                break
            for text in texts:
                found[text] = found[text] or text in rest + piece
            rest, at = piece[-256:], at + len(piece)
print("\\n".join(text.decode() for text, there in found.items() if there))
`;
  const { stdout } = await promisify(execFile)("python3", ["-c", script, String(pid), ...texts]);
  return stdout.trim().split("\n");
}
