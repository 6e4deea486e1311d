"""Room on the disks for several downloads at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from discomfort.exceptions import DiskFullError

RESERVE = 1 << 30
"""Bytes that stay free on each disk: the server writes outputs and temporary files there."""


class DiskRoom:
    """What the downloads under way still need, by disk. ``reserve`` bytes of each stay free."""

    def __init__(self, reserve: int = RESERVE) -> None:
        self._reserve = reserve
        self._needed: dict[Path, tuple[int, int]] = {}

    def claim(self, target: Path, needed: int) -> None:
        """Claim ``needed`` more bytes for ``target``, whose folder exists; replaces its earlier claim.

        Raises DiskFullError if they are not there beside what the others still need.
        """
        folder = target.parent
        device = folder.stat().st_dev
        others = sum(size for other, (disk, size) in self._needed.items() if disk == device and other != target)
        free = shutil.disk_usage(folder).free
        if needed and needed > free - others - self._reserve:
            spoken = [f"{readable(free)} are free"]
            spoken += [f"other downloads need {readable(others)}"] if others else []
            spoken += [f"{readable(self._reserve)} stay free"] if self._reserve else []
            remedy = "Free some space there" + (", or pass a smaller reserve (--reserve)" if self._reserve else "")
            what = f"{', '.join(spoken)}; {readable(needed)} would be written"
            raise DiskFullError(folder, what, filename=target, remedy=remedy)
        self._needed[target] = (device, needed)

    def release(self, target: Path) -> None:
        """Forget a claim. Idempotent."""
        self._needed.pop(target, None)


def readable(size: int) -> str:
    """A number of bytes for people."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
