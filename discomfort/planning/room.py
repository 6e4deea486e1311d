"""Room for models: the size of those that are there, the space of their folders, the memory of the server."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from discomfort._system.concurrency import to_thread
from discomfort.planning.needs import FolderSpace, MemoryNeed, ModelNeed
from discomfort.planning.planned_server import PlannedServer
from discomfort.workflow.subgraphs import objects

Sizes = Mapping[str, int]
"""Bytes of a model file by its place (``checkpoints/base.safetensors``)."""


async def model_sizes(server: PlannedServer, models: Sequence[ModelNeed]) -> Sizes:
    """The sizes of the models that are there, as the server lists them."""
    folders = sorted({model.folder for model in models if model.is_there and model.folder})
    sizes: dict[str, int] = {}
    for folder in folders:
        for entry in objects(await server.get(f"/experiment/models/{folder}")):
            if _is_size(entry.get("size")):
                sizes[f"{folder}/{entry.get('name')}"] = entry["size"]
    return sizes


async def folder_spaces(server: PlannedServer, models: Sequence[ModelNeed]) -> tuple[FolderSpace, ...]:
    """The folders of the missing models, with the space on their disks if they are on this machine."""
    missing = [model for model in models if model.is_missing and model.folder]
    if not missing:
        return ()
    paths = await _paths(server)
    spaces = []
    for folder in sorted({model.folder for model in missing}):
        inside = [model for model in missing if model.folder == folder]
        path = paths.get(folder, "")
        spaces.append(
            FolderSpace(
                folder=folder,
                path=path,
                needed=sum(model.size or 0 for model in inside),
                unsized=sum(model.size is None for model in inside),
                free=await to_thread(_free, path) if path and server.is_local else None,
            )
        )
    return tuple(spaces)


def crowded(spaces: Sequence[FolderSpace]) -> str:
    """What is wrong if folders on one disk fit one by one, but not together; empty if nothing is."""
    disks: dict[int, list[FolderSpace]] = {}
    for space in spaces:
        if space.free is not None and (disk := _disk(space.path)) is not None:
            disks.setdefault(disk, []).append(space)
    for inside in disks.values():
        needed, free = sum(space.needed for space in inside), min(space.free or 0 for space in inside)
        if needed > free and not any(space.is_short for space in inside):
            names = ", ".join(space.folder for space in inside)
            return f"the disk of {names} has {free} bytes left, and the missing models need {needed} together"
    return ""


async def memory_need(server: PlannedServer, models: Sequence[ModelNeed], sizes: Sizes) -> MemoryNeed | None:
    """The size of the models that a run uses, and the server's memory; ``None`` if no size is known."""
    used = [model for model in models if model.inputs]
    known = [size for model in used if (size := sizes.get(model.place, model.size)) is not None]
    if not any(known):
        return None
    stats = await server.get("/system_stats")
    system, devices = _object(stats).get("system"), _object(stats).get("devices")
    device = next(iter(objects(devices)), {})
    # A CPU's memory is the machine's.
    is_own = device.get("type") not in (None, "cpu", "mps")
    return MemoryNeed(
        weights=sum(known),
        unsized=len(used) - len(known),
        device=str(device.get("name") or "the device")[:100] if is_own else "",
        device_total=_size(device.get("vram_total")) if is_own else None,
        device_free=_size(device.get("vram_free")) if is_own else None,
        ram_total=_size(_object(system).get("ram_total")),
        ram_free=_size(_object(system).get("ram_free")),
    )


async def _paths(server: PlannedServer) -> dict[str, str]:
    """A path of each folder of models: the one that has its name, since the first one may have an older name."""
    answer = await server.get("/internal/folder_paths")
    entries = _object(answer).items()
    return {
        name: paths[0] for name, paths in entries if isinstance(paths, list) and paths and isinstance(paths[0], str)
    }


def _free(path: str) -> int | None:
    folder = Path(path)
    try:
        existing = next((each for each in (folder, *folder.parents) if each.exists()), None)
        return None if existing is None else shutil.disk_usage(existing).free
    except (OSError, ValueError):
        return None


def _disk(path: str) -> int | None:
    folder = Path(path)
    try:
        existing = next((each for each in (folder, *folder.parents) if each.exists()), None)
        return None if existing is None else existing.stat().st_dev
    except (OSError, ValueError):
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and _is_size(value) else None
