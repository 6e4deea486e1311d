"""The emulator beside a real ComfyUI: all but the pixels, by the command that makes the table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REAL = os.environ.get("COMFYUI_PATH")


@pytest.mark.comfyui
@pytest.mark.skipif(REAL is None, reason="needs COMFYUI_PATH")
@pytest.mark.timeout(400)
def test_both_servers_answer_alike() -> None:
    """Every scenario, wrong prompt and request, values for some nodes, and fifty random graphs are answered alike."""
    command = [sys.executable, "-m", "benchmarks.parity", "--comfyui", str(REAL), "--notes", "--random", "50"]
    parts = [option for part in ("messages", "bodies", "values", "routes", "random") for option in ("--part", part)]
    parts += ["--node", "SaveImage,ImageScaleToMaxDimension,LatentAdd,LoadImage,GITSScheduler"]

    done = subprocess.run([*command, *parts], cwd=ROOT, capture_output=True, text=True, timeout=360, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.comfyui
@pytest.mark.skipif(REAL is None, reason="needs COMFYUI_PATH")
@pytest.mark.timeout(400)
def test_both_servers_answer_alike_under_other_command_lines() -> None:
    """Compression, CORS, small bodies, several users, other caches and addresses are alike as well."""
    command = [sys.executable, "-m", "benchmarks.parity", "--comfyui", str(REAL), "--notes", "--part", "options"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=360, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
