"""Custom node packs in plain Python: folders or files with ``NODE_CLASS_MAPPINGS``.

A pack runs here as far as what it imports is installed; one that fails is logged and left out. Packs in the newer
schema (``comfy_entrypoint``) and packs that need ``torch`` or ``comfy`` belong to a real ComfyUI.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from discomfort.emulator.registry import Registry

log = logging.getLogger("discomfort.emulator")

_SKIPPED = {"__pycache__"}


@dataclass(frozen=True, slots=True)
class Pack:
    """A loaded pack: its name, the classes it brought, and its folder of scripts for the frontend."""

    name: str
    classes: tuple[str, ...]
    web: Path | None


def pack_paths(folder: Path) -> list[Path]:
    """The packs in a ``custom_nodes`` folder: Python files, and folders with ``__init__.py``; disabled ones not."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED or path.name.startswith(".") or path.name.endswith(".disabled"):
            continue
        if path.suffix == ".py" or (path / "__init__.py").is_file():
            found.append(path)
    return found


def load_packs(folders: Iterable[Path], registry: Registry) -> list[Pack]:
    """Import every pack and offer its nodes; built-in nodes are not replaced. Blocking; runs the packs' code."""
    packs = []
    for folder in folders:
        for path in pack_paths(folder):
            try:
                packs.append(_load(path, registry))
            except Exception as error:
                log.warning("custom nodes %s (IMPORT FAILED): %s: %s", path.name, type(error).__name__, error)
                log.debug("the import of %s failed", path, exc_info=error)
    return packs


def _load(path: Path, registry: Registry) -> Pack:
    module = _import(path)
    mappings: dict[str, type] | None = getattr(module, "NODE_CLASS_MAPPINGS", None)
    if mappings is None:
        raise ImportError("it has no NODE_CLASS_MAPPINGS; packs in the newer schema need a real ComfyUI")
    titles = getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {}
    added = []
    for name, cls in mappings.items():
        if name in registry and registry[name].cls is not None:
            log.warning("custom nodes %s: %s exists already and stays as it is", path.name, name)
            continue
        if not hasattr(cls, "RELATIVE_PYTHON_MODULE"):
            setattr(cls, "RELATIVE_PYTHON_MODULE", f"custom_nodes.{path.stem}")  # noqa: B010 - not declared
        registry.add_class(name, cls, titles.get(name, name))
        added.append(name)
    web = getattr(module, "WEB_DIRECTORY", None)
    folder = (path / web).resolve() if web and path.is_dir() else None
    return Pack(path.stem, tuple(added), folder if folder is not None and folder.is_dir() else None)


def _import(path: Path) -> ModuleType:
    # ComfyUI names modules of packs after their place; exceptions of a pack show it in ``exception_type``.
    name = str(path.absolute()).replace(".", "_x_") if path.is_dir() else str(path.absolute().with_suffix(""))
    file = path / "__init__.py" if path.is_dir() else path
    search = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} can not be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
