"""The parser of the command line: ComfyUI's flags (0.33.0), and the emulator's own."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comfyui_emulator.console import LEVELS

_ALONE = (
    "auto-launch", "disable-auto-launch", "cpu-vae", "fp16-intermediates", "force-channels-last",
    "supports-fp8-compute", "enable-triton-backend", "disable-triton-backend", "disable-xformers", "enable-manager",
    "disable-nvml-pressure", "disable-async-offload", "disable-dynamic-vram", "enable-dynamic-vram", "fast-disk",
    "disable-cuda-graphs", "force-non-blocking", "disable-smart-memory", "deterministic", "debug-hang",
    "disable-pinned-memory", "mmap-torch-files", "disable-mmap", "windows-standalone-build",
    "disable-all-custom-nodes", "enable-asset-hashing",
)  # fmt: skip
"""Switches without effect here."""

_EXCLUSIVE = (
    ("cuda-malloc", "disable-cuda-malloc"),
    ("force-fp32", "force-fp16"),
    ("fp32-unet", "fp64-unet", "bf16-unet", "fp16-unet", "fp8_e4m3fn-unet", "fp8_e5m2-unet", "fp8_e8m0fnu-unet"),
    ("fp16-vae", "fp32-vae", "bf16-vae"),
    ("fp8_e4m3fn-text-enc", "fp8_e5m2-text-enc", "fp16-text-enc", "fp32-text-enc", "bf16-text-enc"),
    ("use-split-cross-attention", "use-quad-cross-attention", "use-pytorch-cross-attention", "use-sage-attention",
     "use-flash-attention", "use-ck-attention"),
    ("force-upcast-attention", "dont-upcast-attention"),
    ("disable-manager-ui", "enable-manager-legacy-ui"),
    ("gpu-only", "highvram", "lowvram", "novram", "cpu"),
)  # fmt: skip
"""Switches without effect here, of which ComfyUI accepts only one in each row."""

_VALUES: dict[str, dict[str, Any]] = {
    "cuda-device": {},
    "default-device": {"type": int},
    "directml": {"type": int, "nargs": "?", "const": -1},
    "oneapi-device-selector": {},
    "preview-method": {"choices": ("none", "auto", "latent2rgb", "taesd")},
    "preview-size": {"type": int},
    "reserve-vram": {"type": float},
    "vram-headroom": {"type": float},
    "async-offload": {"type": int, "nargs": "?", "const": 2},
    "default-hashing-function": {"choices": ("md5", "sha1", "sha256", "sha512")},
    "fast": {"nargs": "*", "choices": ("fp16_accumulation", "fp8_matrix_mult", "cublas_ops", "autotune")},
    "whitelist-custom-nodes": {"nargs": "+"},
    "front-end-version": {},
    "comfy-api-base": {},
    "extra-model-paths-config": {"nargs": "+", "action": "append"},
}
"""Options without effect here."""

MISSED = (
    "enable-assets", "enable-manager", "enable-manager-legacy-ui", "front-end-version", "extra-model-paths-config",
)  # fmt: skip
"""Flags that the emulator accepts and cannot follow, although a client would see the difference; logged at start."""


class _Verbose(argparse.Action):
    """Collects (level, file); the file is ``None`` for the console."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Add one output. Ends the program with code 2 if the values are wrong."""
        if len(values) > 2 or (values and values[0] not in LEVELS):
            parser.error(f"{option_string} takes nothing, a level ({', '.join(LEVELS)}), or a level and a file")
        output = (values[0] if values else "DEBUG", Path(values[1]) if len(values) == 2 else None)
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), output])


def _folder(text: str) -> Path:
    if not os.path.isdir(text):  # noqa: PTH112 - the text is checked before it becomes a path
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return Path(text)


def _number(text: str) -> float:
    """The number in a text; not a number if there is none, or if it is infinite."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _seconds(text: str) -> float:
    number = _number(text)
    if number >= 0:
        return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds; give one such as 0.2, or 0 for none")


def _memory(text: str) -> float:
    number = _number(text)
    if number > 0:
        return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a size in GB above 0; give one such as 24")


def _node_seconds(text: str) -> tuple[str, float]:
    name, _, seconds = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} names no node class; give CLASS=SECONDS, such as KSampler=0.15")
    return name, _seconds(seconds)


def parser() -> argparse.ArgumentParser:
    """The parser of the flags, which have ComfyUI's names."""
    result = argparse.ArgumentParser(
        prog="discomfort serve", description="A light server that speaks ComfyUI's protocol; not ComfyUI."
    )
    _add_server(result)
    _add_folders(result)
    _add_own(result)
    _add_device(result)
    _add_caches(result)
    ignored = result.add_argument_group("accepted for compatibility, without effect")
    for name in _ALONE:
        ignored.add_argument(f"--{name}", action="store_true")
    for names in _EXCLUSIVE:
        group = ignored.add_mutually_exclusive_group()
        for name in names:
            group.add_argument(f"--{name}", action="store_true")
    for name, about in _VALUES.items():
        ignored.add_argument(f"--{name}", **about)
    return result


def _add_server(result: argparse.ArgumentParser) -> None:
    add = result.add_argument
    add("--listen", "--host", dest="listen", nargs="?", default="127.0.0.1", const="0.0.0.0,::", metavar="IP")
    add("--port", type=int, default=8188)
    add("--tls-keyfile", type=Path, metavar="FILE", help="serve HTTPS with this key; needs --tls-certfile")
    add("--tls-certfile", type=Path, metavar="FILE")
    add("--disable-metadata", action="store_true", help="save files without prompt and workflow")
    add("--max-upload-size", type=float, default=100, metavar="MIB")
    add("--enable-cors-header", nargs="?", const="*", metavar="ORIGIN")
    add("--enable-compress-response-body", action="store_true")
    add("--disable-api-nodes", action="store_true", help="keep pages from requesting anything of other hosts")
    add("--multi-user", action="store_true", help="separate settings and files for each comfy-user")
    add("--database-url", metavar="URL", help="only its lock is taken; there is no database")
    add("--enable-assets", action="store_true", help="refused while another server has the database, else no effect")
    add("--feature-flag", action="append", default=[], metavar="KEY[=VALUE]", help="add it to /features")
    add("--list-feature-flags", action="store_true", help="print the registered ones as JSON, and end")
    add("--verbose", action=_Verbose, nargs="*", default=[], metavar=("LEVEL", "FILE"), help="may be repeated")
    add("--log-stdout", action="store_true", help="log to stdout, only errors to stderr")
    add("--dont-print-server", action="store_true", help="do not log the address")
    add("--quick-test-for-ci", action="store_true", help="load everything, and end")


def _add_folders(result: argparse.ArgumentParser) -> None:
    add = result.add_argument
    for name in ("base", "input", "output", "temp"):
        add(f"--{name}-directory", type=Path, metavar="DIR")
    for name in ("user", "models"):
        add(f"--{name}-directory", type=_folder, metavar="DIR")
    add("--front-end-root", type=_folder, metavar="DIR", help="folder with the frontend's index.html")


def _add_own(result: argparse.ArgumentParser) -> None:
    add = result.add_argument
    add("--object-info", type=Path, metavar="FILE", help="a saved /object_info (.json or .json.gz)")
    add(
        "--extra-nodes",
        action="append",
        default=[],
        metavar="MODULE_OR_FILE",
        help="node classes to add (NODE_CLASS_MAPPINGS)",
    )
    add(
        "--custom-node-directory",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="folder of node packs to load",
    )
    add("--fault", action="append", default=[], metavar="NAME=VALUE", help="a fault to simulate, for tests")
    add(
        "--comfyui",
        type=Path,
        metavar="DIR",
        help="an installed ComfyUI, to read number tables and blueprints from (default: COMFYUI_PATH)",
    )


def _add_device(result: argparse.ArgumentParser) -> None:
    add = result.add_argument
    add(
        "--load-seconds-per-gb",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="the time that a model takes to load, for each 10^9 bytes of its file",
    )
    add("--vram-gb", type=_memory, metavar="GB", help="room for models; the least recently used ones leave for others")
    add(
        "--node-seconds",
        type=_node_seconds,
        action="append",
        default=[],
        metavar="CLASS=SECONDS",
        help="the least time of each call of a node of that class; may be repeated",
    )


def _add_caches(result: argparse.ArgumentParser) -> None:
    cache = result.add_mutually_exclusive_group()
    cache.add_argument("--cache-ram", nargs="*", type=float, default=[], metavar="GB")
    cache.add_argument("--cache-classic", action="store_true")
    cache.add_argument("--cache-lru", type=int, default=0, metavar="N")
    cache.add_argument("--cache-none", action="store_true")
    cache.add_argument("--high-ram", action="store_true", help="the same as --cache-classic")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags. Ends the program with code 2 if they are wrong, as argparse does."""
    known = parser()
    options = known.parse_args(argv)
    if len(options.cache_ram) > 2:
        known.error("--cache-ram accepts at most two values: active GB and inactive GB")
    for path in (options.object_info, options.comfyui, *options.custom_node_directory):
        if path is not None and not path.exists():
            known.error(f"{path} does not exist")
    return options


def console_level(options: argparse.Namespace) -> str:
    """The level of the console's log: the most talkative that was named."""
    named = [level for level, path in options.verbose if path is None]
    return min(named, key=LEVELS.index, default="INFO")
