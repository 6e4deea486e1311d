"""Stand-in for ``comfy_api.latest``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.compat import api_input as _values
from comfyui_emulator.compat import io_api as io
from comfyui_emulator.compat import ui
from comfyui_emulator.compat.replace import Registration, SyncRegistration

IO, UI = io, ui


class ComfyExtension(ABC):
    """Base class of a pack's entry point."""

    async def on_load(self) -> None:  # noqa: B027 - optional in subclasses
        """Called before :meth:`get_node_list`."""

    @abstractmethod
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the pack's node classes."""


def _progress(value: float, max_value: float, node_id: str | None, preview_image: Any, ignore_size_limit: bool) -> None:
    del ignore_size_limit  # the emulator sends previews unscaled
    if hasattr(preview_image, "shape"):
        from PIL import Image

        from comfyui_emulator.nodes.images.resample import to_bytes

        first = preview_image[0] if preview_image.ndim == 4 else preview_image
        preview_image = Image.fromarray(to_bytes(first))
    runtime.progress(value, max_value, preview_image, node_id)


class _SyncExecution:
    def set_progress(
        self,
        value: float,
        max_value: float,
        node_id: str | None = None,
        preview_image: Any = None,
        ignore_size_limit: bool = False,
    ) -> None:
        """Report progress."""
        _progress(value, max_value, node_id, preview_image, ignore_size_limit)


class _AsyncExecution:
    async def set_progress(
        self,
        value: float,
        max_value: float,
        node_id: str | None = None,
        preview_image: Any = None,
        ignore_size_limit: bool = False,
    ) -> None:
        """Report progress."""
        _progress(value, max_value, node_id, preview_image, ignore_size_limit)


class ComfyAPI:
    """The API that coroutine nodes call while they run."""

    VERSION, STABLE = "latest", False
    Execution, NodeReplacement = _AsyncExecution, Registration

    def __init__(self) -> None:
        self.execution, self.node_replacement = _AsyncExecution(), Registration()


class ComfyAPISync:
    """The API that all other nodes call while they run."""

    VERSION, STABLE = "latest", False
    Execution = _SyncExecution

    def __init__(self) -> None:
        self.execution = _SyncExecution()
        self.node_replacement = SyncRegistration()


class Input:
    """Types of input values."""

    Image, Audio, Mask, Latent, Video = (
        _values.ImageInput,
        _values.AudioInput,
        _values.MaskInput,
        _values.LatentInput,
        _values.VideoInput,
    )


class InputImpl:
    """Constructors of video values."""

    VideoFromFile = staticmethod(_values.VideoFromFile)
    VideoFromComponents = staticmethod(_values.VideoFromComponents)


class Types:
    """Types that describe videos and 3D files."""

    VideoCodec, VideoContainer = _values.VideoCodec, _values.VideoContainer
    VideoComponents = staticmethod(_values.VideoComponents)
    File3D = staticmethod(_values.File3D)


__all__ = ["IO", "UI", "ComfyAPI", "ComfyAPISync", "ComfyExtension", "Input", "InputImpl", "Types", "io", "ui"]
