"""agent-sandbox's client, unmodified and without a cluster: what it sees of one sandbox, as JSON. Arguments: port of REST, of gRPC, id, and where that is not this machine the pod's address."""

import io
import json
import sys

from k8s_agent_sandbox.models import SandboxdInClusterConnectionConfig
from k8s_agent_sandbox.sandbox import Sandbox

rest, grpc, sandbox_id = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
address = sys.argv[4] if len(sys.argv) > 4 else "127.0.0.1"


class Helper:
    """Stands for Kubernetes: where the pod is."""

    injected_api_client = None

    def get_sandbox(self, name, namespace):
        return {"metadata": {"name": name}, "status": {"podIPs": [address]}}


config = SandboxdInClusterConnectionConfig(mode="in-cluster-pod-ip", rest_port=rest, grpc_port=grpc)
sandbox = Sandbox("claim", sandbox_id, connection_config=config, k8s_helper=Helper())
seen = {}

ran = sandbox.commands.run("echo out; echo err >&2; pwd; exit 3")
seen["run"] = [ran.stdout, ran.stderr, ran.exit_code]
seen["env"] = sandbox.commands.run("echo $NAME", env={"NAME": "value"}).stdout
late = sandbox.commands.run("sleep 600", command_timeout=1)
seen["late"] = [late.timed_out, late.exit_code]

sandbox.files.write("dir/a b.txt", "hello")
seen["read"] = sandbox.files.read("dir/a b.txt").decode()
sandbox.files.write("stream.bin", io.BytesIO(b"x" * 300_000))
into = io.BytesIO()
seen["read_to"] = sandbox.files.read_to("stream.bin", into)
seen["list"] = [[entry.name, entry.type, entry.size, entry.mode] for entry in sandbox.files.list("dir")]
seen["exists"] = [sandbox.files.exists("dir/a b.txt"), sandbox.files.exists("nothing")]
sandbox.files.delete("dir/a b.txt")
seen["deleted"] = sandbox.files.exists("dir/a b.txt")
seen["cwd"] = sandbox.commands.run("pwd", cwd="dir").stdout
try:
    sandbox.commands.run("pwd", cwd="../etc")
    seen["escape"] = "ran"
except RuntimeError as error:
    seen["escape"] = "PERMISSION_DENIED" in str(error)
try:
    sandbox.files.read("../etc/passwd", allow_unsafe_paths=True)
    seen["escape_file"] = "read"
except Exception as error:
    seen["escape_file"] = getattr(error, "status_code", str(error))
print(json.dumps(seen))
