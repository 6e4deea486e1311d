"""The emulator beside a real ComfyUI of its version: all but the pixels, by the command that makes the table."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from comfyui_emulator.settings import COMFYUI_VERSION

ROOT = Path(__file__).resolve().parents[2]
REAL = os.environ.get("COMFYUI_PATH")


def version() -> str:
    """The version of the real ComfyUI; empty where there is none."""
    path = Path(REAL or "/nonexistent") / "comfyui_version.py"
    found = re.search(r'"([\d.]+)"', path.read_text()) if path.exists() else None
    return found[1] if found else ""


of_the_same_version = pytest.mark.skipif(
    version() != COMFYUI_VERSION,
    reason=f"the emulator is ComfyUI {COMFYUI_VERSION}: needs COMFYUI_PATH of that version",
)


@pytest.mark.comfyui
@of_the_same_version
@pytest.mark.timeout(400)
def test_both_servers_of_one_version_answer_alike() -> None:
    """Every scenario, wrong prompt and request, values for some nodes, and fifty random graphs are answered alike."""
    command = [sys.executable, "-m", "benchmarks.parity", "--comfyui", str(REAL), "--notes", "--random", "50"]
    parts = [option for part in ("messages", "bodies", "values", "routes", "random") for option in ("--part", part)]
    parts += ["--node", "SaveImage,ImageScaleToMaxDimension,LatentAdd,LoadImage,GITSScheduler"]

    done = subprocess.run([*command, *parts], cwd=ROOT, capture_output=True, text=True, timeout=360, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.comfyui
@of_the_same_version
@pytest.mark.timeout(400)
def test_both_servers_of_one_version_answer_alike_under_other_command_lines() -> None:
    """Compression, CORS, small bodies, several users, other caches and addresses are alike as well."""
    command = [sys.executable, "-m", "benchmarks.parity", "--comfyui", str(REAL), "--notes", "--part", "options"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=360, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
