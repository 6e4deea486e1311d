"""What a server says of itself, as a pool weighs it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.server_features import RAM_CACHE, server_features

_INACTIVE_LIMIT = 128e9
"""Bytes of memory that must be free for ComfyUI to keep the results of earlier prompts, unless ``--cache-ram`` says
another figure (0.33.0); on machines with less memory that is never so."""


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """A server that is ready. ``vram`` is in bytes, 0 if it does not tell.

    ``keeps_last_only``: it keeps the models of its last prompt only. ComfyUI drops a model together with the result of
    the node that loaded it.
    """

    url: str = ""
    version: str = ""
    device: str = ""
    vram: int = 0
    vram_free: int = 0
    is_cpu: bool = False
    """Whether its memory is the machine's, which everything else uses too."""
    keeps_last_only: bool = False
    definitions: JsonObject = field(default_factory=dict, repr=False)


def profile_of(url: str, stats: Mapping[str, Any] | None, definitions: JsonObject) -> ServerProfile:
    """The profile by the answers to ``/system_stats`` and ``/object_info``."""
    stats = stats if isinstance(stats, Mapping) else {}
    system = stats.get("system")
    system = system if isinstance(system, Mapping) else {}
    devices = stats.get("devices")
    device = devices[0] if isinstance(devices, list) and devices and isinstance(devices[0], Mapping) else {}
    features = server_features(dict(stats), None)
    argv = system.get("argv")
    words = [str(word) for word in argv] if isinstance(argv, list) else []
    keeps = _keeps_last_only(words, features.has(RAM_CACHE) is not False, _bytes(system.get("ram_total")))
    return ServerProfile(
        url=url,
        version=str(system.get("comfyui_version") or "")[:100],
        device=str(device.get("name") or "")[:200],
        vram=_bytes(device.get("vram_total")),
        vram_free=_bytes(device.get("vram_free")),
        is_cpu=device.get("type") in (None, "cpu", "mps"),
        keeps_last_only=keeps,
        definitions=definitions,
    )


def _keeps_last_only(argv: Sequence[str], has_ram_cache: bool, ram: int) -> bool:
    """Whether results of earlier prompts are dropped, by the flags of the server's command line."""
    if _numbers(argv, "--cache-lru")[:1] > [0.0]:
        return False
    if "--vram-gb" in argv:  # the emulator then keeps models as long as there is room
        return False
    if not has_ram_cache or "--cache-classic" in argv or "--cache-none" in argv:
        return True
    limits = _numbers(argv, "--cache-ram")
    return ram < (limits[1] * 1e9 if len(limits) > 1 else _INACTIVE_LIMIT)


def _numbers(argv: Sequence[str], flag: str) -> list[float]:
    """The numbers after a flag."""
    found: list[float] = []
    if flag in argv:
        for word in argv[argv.index(flag) + 1 :]:
            try:
                found.append(float(word))
            except ValueError:
                break
    return found


def _bytes(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
