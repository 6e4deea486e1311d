"""Stand-in for ``comfy.utils``: progress, and resampling of numpy arrays."""

from __future__ import annotations

from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.nodes.images.resample import repeat_to
from comfyui_emulator.nodes.latents.bislerp import bislerp
from comfyui_emulator.nodes.latents.resizing import planes


class ProgressBar:
    """A progress bar. Each report raises :class:`Interrupted` if an interrupt was requested."""

    def __init__(self, total: float, node_id: str | None = None) -> None:
        self.total, self.current, self.node_id = total, 0.0, node_id

    def update_absolute(self, value: float, total: float | None = None, preview: Any = None) -> None:
        """Report step ``value``."""
        self.total = self.total if total is None else total
        self.current = min(value, self.total)
        runtime.progress(self.current, self.total, preview, self.node_id)

    def update(self, value: float) -> None:
        """Report ``value`` more steps."""
        self.update_absolute(self.current + value)


def common_upscale(samples: Any, width: int, height: int, upscale_method: str, crop: str) -> Any:
    """Scale ``[batch, channel, (time,) height, width]`` to another size."""
    return planes(samples, width, height, upscale_method, crop)


def repeat_to_batch_size(tensor: Any, batch_size: int, dim: int = 0) -> Any:
    """Repeat the batch and cut it to ``batch_size`` items."""
    return repeat_to(tensor.swapaxes(0, dim), batch_size).swapaxes(0, dim)


__all__ = ["ProgressBar", "bislerp", "common_upscale", "repeat_to_batch_size"]
