"""The memory that this process may still take: of the machine, and of the control groups that limit it."""

from __future__ import annotations

from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def available(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> int:
    """Bytes that can be taken without swapping, and without being killed for it."""
    rooms = [_room(folder) for folder in _own_folders(groups, own)]
    return min([psutil.virtual_memory().available, *(room for room in rooms if room is not None)])


def _own_folders(groups: Path, own: Path) -> list[Path]:
    """The groups of this process, each with those above it, which limit it too. Empty on a system without them."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return []
    folders = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers not in ("", "memory"):
            continue
        root = groups / controllers
        inner = root / path.lstrip("/")
        # A container sees its own group as the root, although the path may be the one outside.
        folders += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return folders


def _room(folder: Path) -> int | None:
    """What one group has left; ``None`` if it has no limit."""
    for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            return max(0, most - used + _cached(folder))
        except (OSError, ValueError):  # no such file; or "max", which means no limit
            continue
    return None


def _cached(folder: Path) -> int:
    """Bytes of cached files, which the kernel gives up before it kills."""
    try:
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0
