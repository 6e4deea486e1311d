"""The modules that ComfyUI's process needs: standard library, numpy and the errors, under any name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
