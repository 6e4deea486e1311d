"""The simulated device: which models it holds, how long each takes to load, and which ones make room for it.

No byte of a model is read, and no memory is used. Only the sizes of the files count, so sparse files will do.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from comfyui_emulator import runtime
from comfyui_emulator.registry import JsonObject
from comfyui_emulator.runtime import DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from comfyui_emulator.model_folders import ModelFolders
    from comfyui_emulator.settings import EmulatorConfig

log = logging.getLogger("comfyui_emulator")

GB = 10**9
"""Bytes of a gigabyte, as the sizes of files are given."""


@dataclass(frozen=True, slots=True)
class DeviceModel:
    """A model: its folder and name, such as ``checkpoints/x.safetensors``, and its size in bytes."""

    name: str
    size: int


class Device:
    """The models that are held, least recently used first. May be used from any thread.

    ``size`` is the memory in bytes, ``None`` for one without limit. A model is held until others need its room,
    whatever the cache of results keeps.
    """

    def __init__(self, folders: ModelFolders, size: int | None, seconds_per_gb: float) -> None:
        self._folders, self.size, self._seconds_per_gb = folders, size, seconds_per_gb
        self._paths: dict[tuple[str, str, str], tuple[str, Path]] = {}
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._loads: Counter[str] = Counter()
        self._evictions: Counter[str] = Counter()
        self._loading: str | None = None

    def find(
        self, class_type: str, input_name: str, value: str, options: Callable[[], Iterable[object]]
    ) -> DeviceModel | None:
        """The model that an input with these options names, or ``None``. Reads the disk."""
        key = class_type, input_name, value
        # Only what was found is remembered: other files may come at any time.
        found = self._paths.get(key) or self._folders.named(value, options)
        if found is None:
            return None
        self._paths[key] = found
        try:
            return DeviceModel(found[0], found[1].stat().st_size)
        except OSError:
            del self._paths[key]
            return None

    def use(self, model: DeviceModel) -> None:
        """Load a model unless it is held. Waits in the calling thread, which is that of the nodes.

        Raises :class:`~.runtime.Interrupted`, or :class:`~.runtime.DeviceMemoryError` for a model that is larger than
        the memory.
        """
        with self._lock:
            if self._held.pop(model.name, None) == model.size:
                self._held[model.name] = model.size
                return
            self._make_room(model)
            self._loading = model.name
        try:
            runtime.wait(model.size / GB * self._seconds_per_gb)
            with self._lock:
                self._held[model.name] = model.size
                self._loads[model.name] += 1
        finally:
            self._loading = None
        log.info("device: loaded %s (%.3g GB)", model.name, model.size / GB)

    def _make_room(self, model: DeviceModel) -> None:
        if self.size is None:
            return
        if model.size > self.size:
            raise DeviceMemoryError(
                f"Allocation on device: {model.name} has {model.size / GB:.3g} GB, and the device {self.size / GB:.3g}"
            )
        while self._held and sum(self._held.values()) + model.size > self.size:
            name = next(iter(self._held))
            size = self._held.pop(name)
            self._evictions[name] += 1
            log.info("device: evicted %s (%.3g GB) for %s", name, size / GB, model.name)

    def unload(self) -> None:
        """Hold nothing any longer."""
        with self._lock:
            names = list(self._held)
            self._held.clear()
        if names:
            log.info("device: unloaded %s", ", ".join(names))

    def report(self) -> JsonObject:
        """What ``/system_stats`` says of the models: the names held (least recently used first), and counts by name."""
        with self._lock:
            return {
                "held": list(self._held),
                "loading": self._loading,
                "loads": dict(self._loads),
                "evictions": dict(self._evictions),
            }

    def stats(self) -> JsonObject:
        """The entry among the ``devices`` of ``/system_stats``, for a device whose memory has a size."""
        with self._lock:
            used = sum(self._held.values())
        return {
            "name": "emulated (discomfort emulator)",
            "type": "emulated",
            "index": 0,
            "vram_total": self.size,
            "vram_free": (self.size or 0) - used,
            # What torch would have reserved: what the models use.
            "torch_vram_total": used,
            "torch_vram_free": 0,
        }


def make_device(config: EmulatorConfig, folders: ModelFolders) -> Device | None:
    """The device for these settings; ``None`` if they ask for none."""
    if config.vram_gb is None and not config.load_seconds_per_gb:
        return None
    size = None if config.vram_gb is None else round(config.vram_gb * GB)
    return Device(folders, size, config.load_seconds_per_gb)
