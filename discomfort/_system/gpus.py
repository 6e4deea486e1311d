"""The GPUs of this machine, as NVIDIA's own tool lists them."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass

_TOOL = "nvidia-smi"
_DEADLINE = 20.0
"""Seconds; the tool takes some on a machine whose driver sleeps."""

_NO_LETTERS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: its number for ``CUDA_VISIBLE_DEVICES``, its name and its memory in bytes."""

    index: int
    name: str
    memory: int

    @property
    def kind(self) -> str:
        """The name as a label, such as ``nvidia-h100-80gb-hbm3``."""
        return _NO_LETTERS.sub("-", self.name.lower()).strip("-")


async def list_gpus() -> list[Gpu]:
    """All GPUs; none if there is no tool or it fails. Raises TimeoutError after 20 s."""
    tool = shutil.which(_TOOL)
    if tool is None:
        return []
    process = await asyncio.create_subprocess_exec(
        tool, "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_DEADLINE):
            printed, _ = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
        raise
    return parse_gpus(printed.decode(errors="replace")) if process.returncode == 0 else []


def parse_gpus(text: str) -> list[Gpu]:
    """The GPUs of the tool's lines, ``index, name, MiB``."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[0].isdigit() and parts[2].isdigit():
            found.append(Gpu(int(parts[0]), parts[1], int(parts[2]) << 20))
    return found
