"""What a pool reads from a server's own figures: above all, whether it keeps models of earlier prompts."""

from __future__ import annotations

from typing import Any

import pytest

from discomfort.pool.server_profile import ServerProfile, profile_of

GIB = 1 << 30


def profile(*argv: str, version: str = "0.33.0", total: int = 64 * GIB, free: int = 60 * GIB) -> ServerProfile:
    """The profile of a server with this command line and memory."""
    system = {"comfyui_version": version, "argv": ["main.py", *argv], "ram_total": total, "ram_free": free}
    return profile_of("http://here:8188", {"system": system, "devices": []}, {})


@pytest.mark.parametrize(
    ("argv", "version", "keeps_last_only"),
    [
        ([], "0.33.0", True),
        ([], "0.3.64", True),
        (["--cache-classic"], "0.33.0", True),
        (["--high-ram"], "0.33.0", True),
        (["--cache-none"], "0.33.0", True),
        (["--cache-lru", "100"], "0.33.0", False),
        (["--cache-lru=100"], "0.3.64", False),
        (["--cache-lru", "10"], "0.33.0", False),
        (["--cache-lru", "7"], "0.3.64", True),
        (["--cache-lru", "0"], "0.33.0", True),
        (["--cache-lru", "0", "--port", "8000", "--cache-lru", "100"], "0.33.0", False),
        (["--cache-ram", "4"], "0.33.0", True),
        (["--cache-ram", "4", "16"], "0.33.0", False),
        (["--cache-ram", "4", "62"], "0.33.0", True),
        (["--cache-ram", "4", "0", "--cpu"], "0.33.0", False),
        (["--cache-ram", "many", "--cpu"], "0.33.0", True),
        (["--vram-gb", "3"], "0.33.0", False),
        (["--load-seconds-per-gb=1", "--cache-none"], "0.33.0", False),
    ],
)
def test_command_line_says_which_models_are_kept(argv: list[str], version: str, keeps_last_only: bool) -> None:
    """As measured on both versions; the last of two flags counts, and numbers may follow a sign of equality."""
    assert profile(*argv, version=version).keeps_last_only is keeps_last_only


def test_memory_says_which_models_are_kept() -> None:
    """ComfyUI 0.33 keeps earlier results by default as long as 128 GiB are free, whatever the machine has."""
    assert not profile(total=256 * GIB, free=200 * GIB).keeps_last_only
    assert profile(total=256 * GIB, free=100 * GIB).keeps_last_only
    assert profile(total=128 * GIB, free=127 * GIB).keeps_last_only
    assert profile(total=130 * 10**9, free=129 * 10**9).keeps_last_only
    assert not profile("--cache-ram", "4", "16", total=32 * GIB, free=0).keeps_last_only
    assert profile("--cache-ram", "4", "16", total=8 * GIB, free=0).keeps_last_only


def test_no_cache_keeps_nothing() -> None:
    """Not even the models of the last prompt, unless the emulator's device has them."""
    assert profile("--cache-none").keeps_nothing
    assert not profile().keeps_nothing
    assert not profile("--cache-none", "--vram-gb", "3").keeps_nothing


def test_figures_of_the_device() -> None:
    """Those of the first one."""
    gpu = {"name": "cuda:0 X", "type": "cuda", "vram_total": 24 * GIB, "vram_free": 23 * GIB}
    stats = {"system": {"comfyui_version": "0.33.0"}, "devices": [gpu, {"name": "another", "type": "cpu"}]}
    made = profile_of("http://here:8188", stats, {"Say": {}})
    assert (made.version, made.device, made.vram, made.vram_free) == ("0.33.0", "cuda:0 X", 24 * GIB, 23 * GIB)
    assert (made.is_cpu, made.url, made.definitions) == (False, "http://here:8188", {"Say": {}})


@pytest.mark.parametrize(
    "stats",
    [
        None,
        [],
        {"system": [], "devices": {}},
        {"system": {"argv": "main.py", "ram_free": "much", "comfyui_version": None}, "devices": [7]},
        {"system": {"argv": [None, 3], "ram_total": True}, "devices": [{"vram_total": -1, "vram_free": 1.5}]},
    ],
)
def test_damaged_figures_are_unknown(stats: Any) -> None:
    """They end nothing: a server that tells nothing is taken for one that keeps little."""
    made = profile_of("http://here:8188", stats, {})
    assert (made.version, made.device, made.vram, made.vram_free) == ("", "", 0, 0)
    assert made.keeps_last_only
    assert made.is_cpu
