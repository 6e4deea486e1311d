"""Profiles of servers: their figures, and which models they keep. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.server_features import RAM_CACHE, server_features

_GIB = 1 << 30
_INACTIVE_LIMIT = 128 * _GIB
"""Bytes of memory that must be free for ComfyUI to keep the results of earlier prompts, unless ``--cache-ram`` says
another figure (0.33.0). With less memory than that, it must all be free, which is never so."""

_ONE_PROMPT = 7
"""``--cache-lru`` keeps the results of so many nodes. If they are no more than those of one prompt, the next prompt
drops its model. The smallest prompt that makes a picture has so many nodes."""


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """A server that is ready. ``vram`` is in bytes, 0 if it does not tell.

    ``keeps_last_only``: it keeps the models of its last prompt only, ``keeps_nothing``: not even those. ComfyUI drops
    a model together with the result of the node that loaded it.
    """

    url: str = ""
    version: str = ""
    device: str = ""
    vram: int = 0
    vram_free: int = 0
    is_cpu: bool = False
    """Whether its memory is the machine's, which everything else uses too."""
    keeps_last_only: bool = False
    keeps_nothing: bool = False
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
    flags = _flags([str(word) for word in argv] if isinstance(argv, list) else [])
    memory = _bytes(system.get("ram_free")) or _bytes(system.get("ram_total"))
    return ServerProfile(
        url=url,
        version=str(system.get("comfyui_version") or "")[:100],
        device=str(device.get("name") or "")[:200],
        vram=_bytes(device.get("vram_total")),
        vram_free=_bytes(device.get("vram_free")),
        is_cpu=device.get("type") in (None, "cpu", "mps"),
        keeps_last_only=_keeps_last_only(flags, features.has(RAM_CACHE) is not False, memory),
        keeps_nothing="--cache-none" in flags and not _is_simulated(flags),
        definitions=definitions,
    )


def _keeps_last_only(flags: Mapping[str, list[str]], has_ram_cache: bool, memory: int) -> bool:
    """Whether results of earlier prompts are dropped, by the server's command line and its free memory."""
    if _is_simulated(flags):
        return False
    results = _numbers(flags, "--cache-lru")
    if results and results[0] > 0:
        return results[0] <= _ONE_PROMPT
    # --high-ram is --cache-classic and more (0.33.0).
    if not has_ram_cache or flags.keys() & {"--cache-classic", "--high-ram", "--cache-none"}:
        return True
    limits = _numbers(flags, "--cache-ram")
    return memory < (limits[1] * _GIB if len(limits) > 1 else _INACTIVE_LIMIT)


def _is_simulated(flags: Mapping[str, list[str]]) -> bool:
    """Whether it is an emulator that keeps models until others need their room, whatever its cache keeps."""
    return bool(flags.keys() & {"--vram-gb", "--load-seconds-per-gb"})


def _flags(argv: Sequence[str]) -> dict[str, list[str]]:
    """What follows each flag of a command line. If a flag is given twice, the last one holds."""
    found: dict[str, list[str]] = {}
    values: list[str] = []
    for word in argv:
        if word.startswith("--"):
            flag, has_value, value = word.partition("=")
            values = found[flag] = [value] if has_value else []
        else:
            values.append(word)
    return found


def _numbers(flags: Mapping[str, list[str]], flag: str) -> list[float]:
    """The numbers after a flag."""
    found: list[float] = []
    for word in flags.get(flag, []):
        try:
            found.append(float(word))
        except ValueError:
            break
    return found


def _bytes(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
