"""Start ``program.py``, if need be under conditions that the kernel sets."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("program.py")

NOBODY = ("unshare", "--user")
"""A user without any privilege, also where root runs the tests: no writing where the mode forbids it, and no user
namespace of its own, without which Chromium's sandbox cannot be."""


def small_disk(folder: Path, size: str) -> tuple[str, ...]:
    """Words before a command, for which ``folder`` is a disk of its own of that size."""
    mount = 'mount -t tmpfs -o "size=$1" matrix "$2" && shift 2 && exec "$@"'
    return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", size, str(folder))


@cache
def conditions_can_be_set() -> bool:
    """Whether this machine lets a process have namespaces of its own; containers may forbid it."""
    if shutil.which("unshare") is None:
        return False
    folder = Path(__file__).parent
    asked = (NOBODY, small_disk(folder, "64k"))
    return all(subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0 for words in asked)


async def begin(
    scenario: str, settings: dict[str, Any], *words: object, prefix: tuple[str, ...] = ()
) -> asyncio.subprocess.Process:
    """Start the program; its output is piped."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    return await asyncio.create_subprocess_exec(
        *prefix, sys.executable, str(PROGRAM), scenario, json.dumps(plain), *map(str, words),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The next thing that it tells."""
    assert process.stdout is not None
    async with asyncio.timeout(100):
        data = await process.stdout.readline()
    assert data, (await process.communicate())[1].decode()[-4000:]
    return dict(json.loads(data))


async def end(process: asyncio.subprocess.Process, *, code: int = 0) -> tuple[dict[str, Any], str]:
    """What it told and what it wrote to stderr, when it has ended with ``code``."""
    try:
        async with asyncio.timeout(100):
            out, err = await process.communicate(b"")
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode == code, err.decode()[-4000:]
    return json.loads(out.decode().splitlines()[-1]), err.decode()
