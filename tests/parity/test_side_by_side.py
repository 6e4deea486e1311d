"""The emulator beside a real ComfyUI: messages, refusals and random prompts, by the command that makes the table."""

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
    """Every scenario, every wrong prompt and the same fifty random graphs end in the same messages and records."""
    command = [sys.executable, "-m", "benchmarks.parity", "--comfyui", str(REAL), "--notes", "--random", "50"]
    parts = [option for part in ("messages", "bodies", "random") for option in ("--part", part)]

    done = subprocess.run([*command, *parts], cwd=ROOT, capture_output=True, text=True, timeout=360, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
