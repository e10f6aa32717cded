"""Makes the messages of the project's protos while the package is built: nothing generated is committed."""
import os
import shutil
import subprocess
import sys
import tempfile

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

here = os.path.dirname(os.path.abspath(__file__))
# In the project the protos are at its root, in a source distribution beside this file.
places = [os.path.join(here, "proto"), os.path.join(here, "..", "..", "proto")]
protos = ["sandboxes", "processes", "files", "ports"]

module = '''"""Generated from sandboxes/v1/{name}.proto."""
from . import load

load("sandboxes/v1/{name}.proto", globals())
'''


def proto_directory() -> str:
    for place in places:
        if os.path.isfile(os.path.join(place, "sandboxes/v1/sandboxes.proto")):
            return place
    raise SystemExit(f"no sandboxes/v1/*.proto in {' or '.join(places)}")


def generate(target: str) -> None:
    """Descriptors for the runtime, stubs for type checkers, and a module of four lines for each proto."""
    import grpc_tools

    source = proto_directory()
    well_known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    os.makedirs(target, exist_ok=True)
    with tempfile.TemporaryDirectory() as stubs:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source}", f"-I{well_known}", "--include_imports"]
        outputs = [f"--descriptor_set_out={os.path.join(target, 'descriptors.bin')}", f"--pyi_out={stubs}"]
        subprocess.run([*command, *outputs, *(f"sandboxes/v1/{name}.proto" for name in protos)], check=True)
        for name in protos:
            shutil.copyfile(
                os.path.join(stubs, f"sandboxes/v1/{name}_pb2.pyi"), os.path.join(target, f"{name}_pb2.pyi")
            )
            with open(os.path.join(target, f"{name}_pb2.py"), "w", encoding="utf-8") as file:
                file.write(module.format(name=name))


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        base = os.path.join(here, "src") if self.editable_mode else self.build_lib
        generate(os.path.join(base, "a3s_box_sdk", "_proto"))


class Sdist(sdist):
    def make_release_tree(self, base_dir: str, files: "list[str]") -> None:
        super().make_release_tree(base_dir, files)
        for name in protos:
            target = os.path.join(base_dir, "proto/sandboxes/v1", f"{name}.proto")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(os.path.join(proto_directory(), f"sandboxes/v1/{name}.proto"), target)


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist})
