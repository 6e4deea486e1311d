"""The cases, a module for each kind of node: ``cases()`` gives them, ``samples()``, where there is one, their files."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from types import ModuleType

from benchmarks.parity.building import Case


def modules() -> dict[str, ModuleType]:
    """Every module of this package by its short name."""
    return {found.name: importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)}


def groups() -> dict[str, Callable[[], Iterable[Case]]]:
    """The cases of each module."""
    return {name: module.cases for name, module in modules().items()}


def without_case() -> list[str]:
    """Nodes that the emulator executes and no case is about, in order."""
    from comfyui_emulator.nodes import register_all
    from comfyui_emulator.registry import Registry

    registry = Registry()
    register_all(registry)
    about = {case.node for group in groups().values() for case in group()}
    return sorted(name for name, kind in registry.items() if kind.cls is not None and name not in about)


def extra_samples() -> dict[str, bytes]:
    """Files that single modules need."""
    found: dict[str, bytes] = {}
    for module in modules().values():
        if hasattr(module, "samples"):
            found |= module.samples()
    return found
