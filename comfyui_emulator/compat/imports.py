"""Import hooks for packs: an import of a ComfyUI module gets its stand-in from this package."""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_PACKS: set[str] = set()
"""The names under which packs were imported."""

_HERE = "comfyui_emulator.compat"

_MODULES: dict[str, str | None] = {
    "comfy": None,
    "comfy.cli_args": "cli_args",
    "comfy.comfy_types": "comfy_types",
    "comfy.comfy_types.node_typing": "comfy_types",
    "comfy.model_management": "model_management",
    "comfy.utils": "utils",
    "comfy_api": None,
    "comfy_api.input": "api_input",
    "comfy_api.input_impl": "api_input",
    "comfy_api.latest": "api",
    "comfy_api.util": "api_input",
    "comfy_api.v0_0_2": "api",
    "comfy_execution": None,
    "comfy_execution.graph": "graph_utils",
    "comfy_execution.graph_utils": "graph_utils",
    "folder_paths": "folder_paths",
    "node_helpers": "node_helpers",
    "nodes": "nodes",
    "server": "prompt_server",
}
"""ComfyUI's modules by name, with their stand-ins here; ``None`` for a package that only contains others."""

_ROOTS = {name.partition(".")[0] for name in _MODULES}


class MissingModuleError(ModuleNotFoundError):
    """Raised when a pack imports a part of ComfyUI that the emulator does not have."""

    def __init__(self, name: str) -> None:
        root = name.partition(".")[0]
        known = ", ".join(sorted(other for other in _MODULES if other.startswith(f"{root}.")))
        some = f" (the parts of {root} that it has: {known})" if known else ""
        super().__init__(f"{name} is not in the discomfort emulator{some}: run this pack on a real ComfyUI", name=name)


@functools.cache
def real_is_there() -> bool:
    """Whether a real ComfyUI can be imported in this process."""
    return importlib.util.find_spec("comfy_api") is not None and importlib.util.find_spec("comfy") is not None


@functools.cache
def stand_in(name: str) -> ModuleType:
    """The module that a pack gets for ``name``. A package has its submodules as attributes.

    Raises :class:`MissingModuleError`.
    """
    if name not in _MODULES:
        raise MissingModuleError(name)
    target = _MODULES[name]
    module = ModuleType(name)
    if target is not None:
        source = importlib.import_module(f"{_HERE}.{target}")
        module.__dict__.update({key: value for key, value in vars(source).items() if not key.startswith("__")})
        lookup = getattr(source, "__getattr__", None)
        module.__dict__["__getattr__"] = lookup or functools.partial(_missing_name, name)
        module.__doc__ = source.__doc__
    for other in _MODULES:
        parent, _, child = other.rpartition(".")
        if parent == name:
            setattr(module, child, stand_in(other))
    return module


def _missing_name(module: str, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(f"{module}.{name} is not in the discomfort emulator: run this pack on a real ComfyUI")


def pack_import(
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - names of the built-in function
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    """Replaces ``__import__`` in the code of packs."""
    root = name.partition(".")[0]
    if level or root not in _ROOTS or real_is_there():
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    module = stand_in(name)
    for wanted in fromlist or ():
        if wanted != "*" and not hasattr(module, wanted):
            raise MissingModuleError(f"{name}.{wanted}")
    return module if fromlist else stand_in(root)


class PackLoader(SourceFileLoader):
    """Loader for a pack's modules; their imports go through :func:`pack_import`."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": pack_import}
        super().exec_module(module)


class _PackFinder(PathFinder):
    """Finder for modules inside packs only."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The usual spec, with :class:`PackLoader` as its loader."""
        if not any(fullname.startswith(f"{pack}.") for pack in _PACKS):
            return None
        spec = super().find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = PackLoader(spec.loader.name, spec.loader.path)
        return spec


def watch(pack: str) -> None:
    """Route imports inside the package ``pack`` through :func:`pack_import`."""
    _PACKS.add(pack)
    if _PackFinder not in sys.meta_path:
        sys.meta_path.insert(0, _PackFinder)
