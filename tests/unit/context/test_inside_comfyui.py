"""The modules that ComfyUI's process needs: standard library, numpy and the errors, under any name."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

CODE = """
import importlib.abc, importlib.util, sys
import numpy as np

class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"discomfort", "orjson", "pydantic", "psutil", "platformdirs", "aiohttp", "torch"}:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Without())
spec = importlib.util.spec_from_file_location(
    "pack", sys.argv[1] + "/discomfort/context/../__init__.py", submodule_search_locations=[sys.argv[1] + "/discomfort"]
)
pack = importlib.util.module_from_spec(spec)
pack.__path__ = [sys.argv[1] + "/discomfort"]
sys.modules["pack"] = pack
from pathlib import Path
from pack.context.blobs import read_blob, write_blob
from pack.context.codecs import decode, encode
from pack.exceptions import DamagedDataError

encoded = encode({"samples": np.ones((1, 4, 8, 8), np.float32)})
name = write_blob(Path(sys.argv[2]), encoded.pieces(), encoded.size, reserved=True)
assert decode(encoded.codec, read_blob(Path(sys.argv[2]) / name))["samples"].sum() == 256
try:
    decode("tensors", b"x")
except DamagedDataError as error:
    print(error, "discomfort" in sys.modules)
"""


def test_values_without_the_library(tmp_path: Path) -> None:
    """Encoded, written, mapped and decoded; a damaged one raises the same error."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(ROOT), str(tmp_path)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == "has 1 bytes, too few for a header False\n", done.stderr


PACK_CODE = """
import importlib.util, json, os, sys
path = sys.argv[1] + "/discomfort/nodes/pack/discomfort_nodes"
name = path.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, path + "/__init__.py")
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)

import numpy as np
os.environ["DISCOMFORT_CONTEXTS"] = json.dumps({"memory": None, "disk": sys.argv[2], "token": "0" * 32})
os.makedirs(sys.argv[2] + "/contexts/run")
for folder in ("", "/contexts", "/contexts/run"):
    os.chmod(sys.argv[2] + folder, 0o700)
nodes = module.NODE_CLASS_MAPPINGS
image = np.ones((1, 8, 8, 3), np.float32)
saver = nodes["DiscomfortContextSaver"]()
(record,) = saver.save_output(unique_id=["x"], input_data=[image], run_id=["run"])["ui"]["discomfort"]
loader = nodes["DiscomfortContextLoader"]()
inputs = {name: record[name] for name in ("blob", "codec", "storage", "digest")}
((found,),) = loader.load_data(run_id="run", unique_id="x", **inputs)
runner = nodes["DiscomfortTestRunner"]
plans = sys.modules[f"{name}.library.nodes.round_plan"]
port = lambda uid, **more: {"class_type": "DiscomfortPort", "inputs": {"unique_id": uid, **more}}
invert = {"class_type": "Invert", "inputs": {"image": ["1", 0]}}
prompt = {"1": port("x"), "2": invert, "3": port("y", input_data=["2", 0])}
declared = {"input": {"required": {"image": ["IMAGE"]}}, "output": ["IMAGE"]}
plan = plans.round_plan(prompt, {"x": "IMAGE"}, {"Invert": declared}.get)
assert plan.round("a.", {"x": ["9", 0]})[0] == {"a.2": {"class_type": "Invert", "inputs": {"image": ["9", 0]}}}
others = [name for name in ("discomfort", "orjson", "pydantic", "psutil") if name in sys.modules]
print(len(nodes), runner.CATEGORY, (found == image).all(), others)
"""


def test_pack_without_the_library(tmp_path: Path) -> None:
    """ComfyUI loads it by its path, under the path as its name; the library is not imported as such."""
    done = subprocess.run(
        [sys.executable, "-c", PACK_CODE, str(ROOT), str(tmp_path)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == "7 discomfort/testing True []\n", done.stderr


@pytest.mark.parametrize("folder", ["nodes", "context", "_system", "workflow"])
def test_syntax_of_older_python(folder: str) -> None:
    """ComfyUI may run on Python 3.10. Modules that it does not import may be newer only in what they import."""
    paths = list((ROOT / "discomfort" / folder).rglob("*.py"))
    trees = [ast.parse(path.read_text(), str(path), feature_version=(3, 10)) for path in paths]
    assert any(tree.body for tree in trees)
