"""Stand-in for ``comfy.utils``: progress, and resampling of numpy arrays."""

from __future__ import annotations

import time
from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.nodes.images.resample import repeat_to
from comfyui_emulator.nodes.latents.bislerp import bislerp
from comfyui_emulator.nodes.latents.resizing import planes

_SECONDS, _PART = 0.1, 0.005


class ProgressBar:
    """A progress bar. Each report that is sent raises :class:`Interrupted` if an interrupt was requested.

    The first, the last and those with a picture are sent at once, others (ComfyUI 0.9.2 and newer) only if 0.1 s and
    0.5 % of the total have passed.
    """

    def __init__(self, total: float, node_id: str | None = None) -> None:
        self.total, self.current, self.node_id = total, 0.0, node_id
        self.clock = time.perf_counter
        self._sent: tuple[float, float] | None = None

    def update_absolute(self, value: float, total: float | None = None, preview: Any = None) -> None:
        """Report step ``value``."""
        self.total = self.total if total is None else total
        self.current = min(value, self.total)
        now = self.clock()
        if preview is None and self._sent is not None and self.current < self.total:
            then, last = self._sent
            if now - then < _SECONDS or self.current - max(0, last) < _PART * self.total:
                return
        runtime.progress(self.current, self.total, preview, self.node_id)
        self._sent = now, self.current

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
