"""Settings of an emulator: one frozen object, created by the command line or by a program."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from comfyui_emulator.faults import Faults

CacheKind = Literal["ram", "classic", "lru", "none"]
CacheRam = tuple[float, float]

COMFYUI_VERSION = "0.33.0"
"""The ComfyUI release whose behaviour the emulator follows, as ``/system_stats`` reports it."""


@dataclass(frozen=True, slots=True)
class EmulatorConfig:
    """Settings of one emulator.

    ``base_directory`` contains ``input``, ``output``, ``temp`` and ``user``; each can be elsewhere. As in ComfyUI,
    ``temp_directory`` names the *parent*: ``temp_directory/temp`` is used, and wiped at start and at a clean exit.
    If another live emulator holds that folder, a private one is used instead.

    ``front_end_root`` is a folder with the frontend's ``index.html`` (default: the installed
    ``comfyui-frontend-package``). ``object_info`` is a saved ``/object_info`` (JSON, plain or gzipped) whose
    definitions are served in place of the built-in ones. ``extra_nodes`` maps class names to classes in the style of
    ComfyUI nodes (see :mod:`comfyui_emulator.runtime`). ``custom_nodes`` are folders of node packs, whose code is
    executed (see :mod:`comfyui_emulator.packs`).

    ``cache`` is ComfyUI's policy: ``ram`` (the default since 0.23) drops the results of earlier prompts when a node has
    run, ``classic`` when a prompt begins, ``lru`` keeps the latest ``cache_lru``, ``none`` nothing. ``cache_ram`` are
    gigabytes: below the first, ``ram`` drops the running prompt's results too, and above the second it keeps those of
    earlier ones. ``max_upload_size`` is in MiB and applies to every request body.
    ``multi_user`` keeps separate settings and files for each user that the ``comfy-user`` header names.
    ``models_directory`` takes the place of ``models`` in the base folder.
    ``comfyui`` is the folder of an installed ComfyUI, from whose files two nodes read their tables of numbers (see
    :mod:`comfyui_emulator.literals`), and whose blueprints are offered to pages; nothing there is imported or run.
    ``feature_flags`` are added to ``/features``, except where the server has a flag of that name itself.
    ``block_external`` sends the content security policy with which a page requests nothing from other hosts.
    ``enable_cors`` is the allowed origin (``*`` for any) and replaces the origin check. ``argv`` is shown in
    ``/system_stats``. ``faults`` are errors to simulate (see :mod:`comfyui_emulator.faults`).

    Three settings simulate a device: ``load_seconds_per_gb`` is the time that the models of a node take to load,
    ``vram_gb`` the memory for them, from which the least recently used ones are evicted, and ``node_seconds`` the least
    time of a call of a node, by class. A GB is 10⁹ bytes. Raises ``ValueError`` for other numbers.
    """

    base_directory: Path | None = None
    input_directory: Path | None = None
    output_directory: Path | None = None
    temp_directory: Path | None = None
    user_directory: Path | None = None
    front_end_root: Path | None = None
    object_info: Path | None = None
    extra_nodes: Mapping[str, type] = field(default_factory=dict)
    custom_nodes: Sequence[Path] = ()
    disable_metadata: bool = False
    cache: CacheKind = "ram"
    cache_lru: int = 0
    cache_ram: CacheRam | None = None
    max_upload_size: float = 100.0
    enable_cors: str | None = None
    compress_response_body: bool = False
    multi_user: bool = False
    comfyui: Path | None = None
    models_directory: Path | None = None
    feature_flags: Mapping[str, object] = field(default_factory=dict)
    block_external: bool = False
    argv: Sequence[str] = ()
    faults: Faults = field(default_factory=Faults)
    load_seconds_per_gb: float = 0.0
    vram_gb: float | None = None
    node_seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the numbers of the simulated device."""
        is_memory = self.vram_gb is None or (math.isfinite(self.vram_gb) and self.vram_gb > 0)
        if not is_memory:
            raise ValueError(f"vram_gb is {self.vram_gb}; give a size above 0, or None for no limit")
        named = {f"node_seconds of {name}": seconds for name, seconds in self.node_seconds.items()}
        for name, seconds in {"load_seconds_per_gb": self.load_seconds_per_gb, **named}.items():
            if not (math.isfinite(seconds) and seconds >= 0):
                raise ValueError(f"{name} is {seconds}; give a number of seconds, 0 for none")

    @property
    def max_body_bytes(self) -> int:
        """The limit of a request body in bytes."""
        return round(self.max_upload_size * 1024 * 1024)
