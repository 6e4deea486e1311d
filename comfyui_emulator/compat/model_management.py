"""``comfy.model_management``, as far as it is about interruption."""

from __future__ import annotations

from comfyui_emulator import runtime
from comfyui_emulator.runtime import Interrupted as InterruptProcessingException

throw_exception_if_processing_interrupted = runtime.check_interrupted


def processing_interrupted() -> bool:
    """Whether the run is to end."""
    return runtime.context().interrupt.is_set()


def interrupt_current_processing(value: bool = True) -> None:
    """Ask for the run to end, or take that back."""
    interrupt = runtime.context().interrupt
    if value:
        interrupt.set()
    else:
        interrupt.clear()


def soft_empty_cache(force: bool = False) -> None:
    """Nothing: there is no memory of models here."""


def unload_all_models() -> None:
    """Nothing: there are no models here."""


__all__ = [
    "InterruptProcessingException",
    "interrupt_current_processing",
    "processing_interrupted",
    "soft_empty_cache",
    "throw_exception_if_processing_interrupted",
    "unload_all_models",
]
