"""Custom node packs in plain Python: folders or files with ``NODE_CLASS_MAPPINGS`` or ``comfy_entrypoint``.

A pack runs here if everything that it imports is installed; one that fails is logged and left out. Of ComfyUI itself it
can import the modules in :mod:`comfyui_emulator.compat`; packs that work on torch tensors need a real ComfyUI.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import inspect
import logging
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from comfyui_emulator.compat.imports import MissingModuleError, PackLoader, watch
from comfyui_emulator.registry import Registry

log = logging.getLogger("comfyui_emulator")

_SKIPPED = {"__pycache__"}


@dataclass(frozen=True, slots=True)
class Pack:
    """A loaded pack: its name, its node classes, and its folders of scripts for the frontend.

    ``webs`` maps names, which appear in URLs, to folders: those named by ``pyproject.toml`` and ``WEB_DIRECTORY``.
    """

    name: str
    classes: tuple[str, ...]
    webs: tuple[tuple[str, Path], ...]


def pack_paths(folder: Path) -> list[Path]:
    """The packs in a ``custom_nodes`` folder: Python files, and folders with ``__init__.py``, except disabled ones."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED or path.name.startswith(".") or path.name.endswith(".disabled"):
            continue
        if path.suffix == ".py" or (path / "__init__.py").is_file():
            found.append(path)
    return found


def load_packs(folders: Iterable[Path], registry: Registry) -> list[Pack]:
    """Import every pack and register its nodes; built-in nodes are not replaced. Blocking; runs the packs' code."""
    packs = []
    for folder in folders:
        for path in pack_paths(folder):
            try:
                packs.append(_load(path, registry))
            except Exception as error:
                log.warning("custom nodes %s (IMPORT FAILED): %s", path.name, _reason(error))
                log.debug("the import of %s failed", path, exc_info=error)
    return packs


def _reason(error: Exception) -> str:
    """The reason why a pack failed to load, with a remedy if there is one."""
    if isinstance(error, ModuleNotFoundError) and error.name and not isinstance(error, MissingModuleError):
        return f"{type(error).__name__}: it imports {error.name}, which is not installed here"
    return f"{type(error).__name__}: {error}"


def _load(path: Path, registry: Registry) -> Pack:
    module = _import(path)
    webs = _webs(path, module)
    added = []
    for name, cls, title in _classes(module, f"custom_nodes.{path.stem}"):
        if name in registry and registry[name].cls is not None:
            log.warning("custom nodes %s: %s already exists and is not replaced", path.name, name)
            continue
        registry.add_class(name, cls, title)
        added.append(name)
    return Pack(path.stem, tuple(added), webs)


def _webs(path: Path, module: ModuleType) -> tuple[tuple[str, Path], ...]:
    """The folders of a pack's scripts, by project name and by folder name, as in ComfyUI."""
    if not path.is_dir():
        return ()
    project, folder = _project(path)
    named = [(project, folder), (path.name, getattr(module, "WEB_DIRECTORY", None))]
    found = {name: (path / web).resolve() for name, web in named if name and web and (path / web).is_dir()}
    return tuple(found.items())


def _project(path: Path) -> tuple[str, str | None]:
    """The project name in a pack's ``pyproject.toml``, and the folder in its ``tool.comfy.web``. Never raises."""
    import tomllib

    try:
        content = tomllib.loads((path / "pyproject.toml").read_text("utf-8"))
        name, web = content["project"].get("name", ""), content.get("tool", {}).get("comfy", {}).get("web")
        if not isinstance(name, str) or not isinstance(web, str | None):
            raise TypeError("project.name and tool.comfy.web must be strings")  # noqa: TRY301 - handled with the others
    except FileNotFoundError:
        return path.name, None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("custom nodes %s: its pyproject.toml cannot be read: %s", path.name, error)
        return path.name, None
    return name, web


def _classes(module: ModuleType, source: str) -> list[tuple[str, type, str | None]]:
    """Names, classes and display names of a pack's nodes; ``source`` becomes their module in ``/object_info``."""
    mappings: dict[str, type] | None = getattr(module, "NODE_CLASS_MAPPINGS", None)
    if mappings is None:
        return [_newer(cls, source) for cls in _listed(module)]
    titles = getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {}
    found = []
    for name, cls in mappings.items():
        if getattr(cls, "RELATIVE_PYTHON_MODULE", None) is None:
            setattr(cls, "RELATIVE_PYTHON_MODULE", source)  # noqa: B010 - not declared
        if hasattr(cls, "define_schema"):
            _, cls, _ = _newer(cls, source)
        found.append((name, cls, titles.get(name, name)))
    return found


def _newer(cls: type, source: str) -> tuple[str, type, str | None]:
    from comfyui_emulator.compat.schema import ComfyNode, adapted

    if not issubclass(cls, ComfyNode):
        raise TypeError(f"{cls.__name__} is a node of the installed ComfyUI; run it there")
    if cls.RELATIVE_PYTHON_MODULE is None:
        cls.RELATIVE_PYTHON_MODULE = source
    return adapted(cls)


def _listed(module: ModuleType) -> list[type]:
    """The node classes of a pack in the newer schema. Raises ``ImportError`` if it is not a pack."""
    from comfyui_emulator.compat.api import ComfyExtension

    entry = getattr(module, "comfy_entrypoint", None)
    if entry is None:
        raise ImportError("it has neither NODE_CLASS_MAPPINGS nor comfy_entrypoint")

    async def ask() -> Any:
        extension = entry()
        if inspect.isawaitable(extension):
            extension = await extension
        if not isinstance(extension, ComfyExtension):
            raise ImportError("its comfy_entrypoint did not return a ComfyExtension")  # noqa: TRY004 - as below
        # ComfyUI 0.14 and newer.
        await extension.on_load()
        return await extension.get_node_list()

    # In a thread of its own, because this one may already run an event loop.
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="discomfort-pack") as pool:
        classes = pool.submit(context.run, asyncio.run, ask()).result()
    if not isinstance(classes, list):
        raise ImportError("its get_node_list did not return a list")  # noqa: TRY004 - the import failed
    return classes


def _import(path: Path) -> ModuleType:
    # ComfyUI names a pack's module after its path, which ``exception_type`` shows for the pack's own exceptions.
    name = str(path.absolute()).replace(".", "_x_") if path.is_dir() else str(path.absolute().with_suffix(""))
    file = path / "__init__.py" if path.is_dir() else path
    search = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(
        name, file, loader=PackLoader(name, str(file)), submodule_search_locations=search
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded")
    watch(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
