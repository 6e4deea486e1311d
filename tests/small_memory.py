"""A small file system in memory for one program, as containers have it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def small_memory(size: str) -> list[str]:
    """The words before a command that give it a ``/dev/shm`` of this size. Skips where that is not allowed."""
    mount = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    unshare = ["unshare", "--mount", "--map-root-user", "--user"] if os.geteuid() else ["unshare", "--mount"]
    prefix = [*unshare, "sh", "-c", mount, "sh"]
    is_missing = shutil.which("unshare") is None
    if is_missing or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us mount a file system of our own")
    return prefix
