"""Nodes with known behaviour, for tests; loads in ComfyUI (as a file in a custom node folder) and in the emulator.

Each takes an optional ``after`` link and gives an INT, so that they can be chained in any order. What waits, waits for
a file to appear: a test decides when, not a clock.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

try:
    import comfy.model_management
    import comfy.utils
    import folder_paths
except ImportError:
    from comfyui_emulator import runtime

    def check_interrupted() -> None:
        """Raise what ends a node whose run was interrupted."""
        runtime.check_interrupted()

    def folder(kind: str) -> Path:
        """The server's folder ``output``, ``temp`` or ``input``."""
        found = runtime.context().folders.by_type(kind)
        if found is None:
            raise ValueError(f"no folder {kind}")
        return found

    def report_steps(steps: int, preview: str) -> None:
        """Report ``steps`` steps, with a preview image of that format each unless ``none``."""
        for step in range(1, steps + 1):
            image = None if preview == "none" else runtime.PreviewImage(preview, picture(step))
            runtime.progress(step, steps, preview=image)

else:

    def check_interrupted() -> None:
        """Raise what ends a node whose run was interrupted."""
        comfy.model_management.throw_exception_if_processing_interrupted()

    def folder(kind: str) -> Path:
        """The server's folder ``output``, ``temp`` or ``input``."""
        return Path(folder_paths.get_directory_by_type(kind))

    def report_steps(steps: int, preview: str) -> None:
        """Report ``steps`` steps, with a preview image of that format each unless ``none``."""
        bar = comfy.utils.ProgressBar(steps)
        for step in range(1, steps + 1):
            check_interrupted()
            bar.update_absolute(step, steps, None if preview == "none" else (preview, picture(step), 512))


def picture(shade: int) -> Image.Image:
    """A small picture whose colour tells ``shade``."""
    return Image.new("RGB", (16, 16), (shade % 256, 40, 80))


class _Node:
    RETURN_TYPES: tuple[str, ...] = ("INT",)
    FUNCTION = "run"
    CATEGORY = "contract"
    OUTPUT_NODE = True
    REQUIRED: dict[str, Any] = {}  # noqa: RUF012 - read only

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": dict(cls.REQUIRED), "optional": {"after": ("INT", {"default": 0})}}


class _Unrepeatable(_Node):
    @classmethod
    def IS_CHANGED(cls, **_: Any) -> float:  # noqa: N802 - ComfyUI's name
        return float("nan")


class Gate(_Unrepeatable):
    """Waits until the file ``path`` appears, for ``seconds`` at most; writes ``path.entered`` first."""

    REQUIRED = {  # noqa: RUF012
        "path": ("STRING", {"default": ""}),
        "seconds": ("FLOAT", {"default": 60.0, "min": 0.0, "max": 600.0}),
        "deaf": ("BOOLEAN", {"default": False}),
    }

    def run(self, path: str, seconds: float, deaf: bool, after: int = 0) -> dict[str, Any]:
        Path(path + ".entered").touch()
        deadline = time.monotonic() + seconds
        while not Path(path).exists() and time.monotonic() < deadline:
            if not deaf:
                check_interrupted()
            time.sleep(0.01)
        return {"ui": {"text": [f"gate {Path(path).name}"]}, "result": (after,)}


class Fail(_Unrepeatable):
    """Raises ``kind`` with ``message``."""

    REQUIRED = {  # noqa: RUF012
        "kind": (["ValueError", "MemoryError", "torch", "SystemExit", "RecursionError"],),
        "message": ("STRING", {"default": "boom"}),
    }

    def run(self, kind: str, message: str, after: int = 0) -> tuple[int]:
        raise _make_error(kind, message)


def _make_error(kind: str, message: str) -> BaseException:
    if kind == "torch":
        if "torch" in sys.modules:
            return sys.modules["torch"].OutOfMemoryError(message)
        return type("OutOfMemoryError", (RuntimeError,), {"__module__": "torch"})(message)
    errors: dict[str, type[BaseException]] = {
        "ValueError": ValueError,
        "MemoryError": MemoryError,
        "SystemExit": SystemExit,
        "RecursionError": RecursionError,
    }
    return errors[kind](message)


class Steps(_Unrepeatable):
    """Reports progress, with or without previews."""

    REQUIRED = {  # noqa: RUF012
        "steps": ("INT", {"default": 3, "min": 1, "max": 1000}),
        "preview": (["none", "JPEG", "PNG"],),
    }

    def run(self, steps: int, preview: str, after: int = 0) -> tuple[int]:
        report_steps(steps, preview)
        return (after,)


class Files(_Node):
    """Writes one file of a kind and publishes it under the key that nodes of that kind use."""

    REQUIRED = {  # noqa: RUF012
        "kind": (["image", "video", "audio", "3d", "file"],),
        "folder": (["output", "temp"],),
        "subfolder": ("STRING", {"default": ""}),
        "name": ("STRING", {"default": "contract"}),
    }
    KINDS = {  # noqa: RUF012
        "image": ("images", "png"),
        "video": ("gifs", "mp4"),
        "audio": ("audio", "flac"),
        "3d": ("3d", "glb"),
        "file": ("files", "bin"),
    }

    def run(self, kind: str, folder: str, subfolder: str, name: str, after: int = 0) -> dict[str, Any]:
        key, extension = self.KINDS[kind]
        place = _folder(folder) / subfolder
        place.mkdir(parents=True, exist_ok=True)
        filename = f"{name}.{extension}"
        (place / filename).write_bytes(content(kind))
        return {
            "ui": {key: [{"filename": filename, "subfolder": subfolder, "type": folder}]},
            "result": (after,),
        }


_folder = folder


def content(kind: str) -> bytes:
    """What :class:`Files` writes."""
    if kind == "image":
        buffer = io.BytesIO()
        picture(7).save(buffer, "PNG")
        return buffer.getvalue()
    return f"content of the {kind}".encode() * 100


class Values(_Node):
    """Publishes values that are not files: numbers, flags, texts, objects."""

    def run(self, after: int = 0) -> dict[str, Any]:
        return {
            "ui": {"text": ["one", "two"], "numbers": [1, 2.5, None], "flags": [True], "objects": [{"a": [1]}]},
            "result": (after,),
        }


class BadValue(_Unrepeatable):
    """Publishes a value that JSON knows only by tolerance (``nan``), or not at all (``object``)."""

    REQUIRED = {"kind": (["nan", "infinity", "object"],)}  # noqa: RUF012

    def run(self, kind: str, after: int = 0) -> dict[str, Any]:
        value: object = {"nan": float("nan"), "infinity": float("inf"), "object": object()}[kind]
        return {"ui": {"value": [value]}, "result": (after,)}


class Range(_Node):
    """The list 0 … count-1: what hangs on it runs once per element."""

    REQUIRED = {"count": ("INT", {"default": 3, "min": 0, "max": 1000})}  # noqa: RUF012
    OUTPUT_IS_LIST = (True,)
    OUTPUT_NODE = False

    def run(self, count: int, after: int = 0) -> tuple[list[int]]:
        return (list(range(after, after + count)),)


class Show(_Node):
    """Publishes the number given as a text, and passes it on."""

    REQUIRED = {"value": ("INT", {"default": 0, "min": -(2**63), "max": 2**63 - 1})}  # noqa: RUF012

    def run(self, value: int, after: int = 0) -> dict[str, Any]:
        return {"ui": {"text": [str(value)]}, "result": (value,)}


class Die(_Unrepeatable):
    """Ends the server: by ``signal`` where it is positive, else by exit ``code``, after a last line on stderr."""

    REQUIRED = {  # noqa: RUF012
        "signal": ("INT", {"default": 0, "min": 0, "max": 64}),
        "code": ("INT", {"default": 3, "min": 0, "max": 255}),
        "last_words": ("STRING", {"default": "last words"}),
    }

    def run(self, signal: int, code: int, last_words: str, after: int = 0) -> tuple[int]:
        os.write(2, f"{last_words}\n".encode())
        if signal:
            os.kill(os.getpid(), _signal.Signals(signal))
            _signal.pause()
        os._exit(code)


_signal = signal

NODE_CLASS_MAPPINGS = {
    f"Contract{cls.__name__}": cls for cls in (Gate, Fail, Steps, Files, Values, BadValue, Range, Show, Die)
}
NODE_DISPLAY_NAME_MAPPINGS = {name: f"Contract {name.removeprefix('Contract')}" for name in NODE_CLASS_MAPPINGS}
