"""Stand-in for ``comfy.model_management``: interrupts, and the models of the simulated device."""

from __future__ import annotations

from comfyui_emulator import runtime
from comfyui_emulator.runtime import Interrupted as InterruptProcessingException

OOM_EXCEPTION = runtime.DeviceMemoryError
throw_exception_if_processing_interrupted = runtime.check_interrupted


def processing_interrupted() -> bool:
    """Whether an interrupt was requested."""
    return runtime.context().interrupt.is_set()


def interrupt_current_processing(value: bool = True) -> None:
    """Request an interrupt, or withdraw the request."""
    interrupt = runtime.context().interrupt
    if value:
        interrupt.set()
    else:
        interrupt.clear()


def soft_empty_cache(force: bool = False) -> None:
    """Do nothing: no model uses memory here."""


def unload_all_models() -> None:
    """Empty the simulated device, if there is one."""
    unload = runtime.context().unload
    if unload is not None:
        unload()


def is_oom(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left."""
    return isinstance(error, OOM_EXCEPTION)


__all__ = [
    "OOM_EXCEPTION",
    "InterruptProcessingException",
    "interrupt_current_processing",
    "is_oom",
    "processing_interrupted",
    "soft_empty_cache",
    "throw_exception_if_processing_interrupted",
    "unload_all_models",
]
