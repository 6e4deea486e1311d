"""The repository as a ComfyUI node pack: ``ComfyUI/custom_nodes/discomfort``.

ComfyUI finds the nodes of ``discomfort/nodes`` here and imports nothing else. For programs that run in the ComfyUI
folder, ``custom_nodes.discomfort.comfy_serverless`` is the same module as ``discomfort.comfy_serverless``, and so are
``discomfort``, ``workflow_context`` and ``workflow_tools`` there: one process has one class of each name, whatever its
path. ``custom_nodes.discomfort.Discomfort`` is that class, too.
"""

from __future__ import annotations

from types import ModuleType

NODE_CLASS_MAPPINGS: dict[str, type]
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str]
WEB_DIRECTORY = "./discomfort/nodes/pack/discomfort_nodes/web"

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]

_OF_PACK = ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS")


def __getattr__(name: str) -> object:
    if name == "Discomfort":
        import importlib

        return importlib.import_module("discomfort.discomfort").Discomfort
    # Programs that only use the library do not need the nodes.
    if name not in _OF_PACK:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = _pack()
    globals().update({each: getattr(found, each) for each in _OF_PACK})
    return globals()[name]


def _pack() -> ModuleType:
    """The node pack, loaded below this module."""
    import importlib.util
    import sys
    from pathlib import Path

    source = Path(__file__).resolve().parent / "discomfort" / "nodes" / "pack" / "discomfort_nodes" / "__init__.py"
    spec = importlib.util.spec_from_file_location(f"{__name__}.nodes", source)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def _load_package() -> None:
    """Make the package in this folder importable as ``discomfort``, without a new entry in ``sys.path``."""
    import importlib.util
    import sys
    from pathlib import Path

    if "discomfort" in sys.modules and __name__ != "discomfort":
        return
    source = Path(__file__).resolve().parent / "discomfort" / "__init__.py"
    spec = importlib.util.spec_from_file_location("discomfort", source, submodule_search_locations=[str(source.parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["discomfort"] = module
    spec.loader.exec_module(module)


def _alias() -> None:
    import importlib
    import sys

    for name in ("comfy_serverless", "discomfort", "workflow_context", "workflow_tools"):
        sys.modules[f"{__name__}.{name}"] = importlib.import_module(f"discomfort.{name}")


if __name__ == "custom_nodes.discomfort" or __name__.endswith(".custom_nodes.discomfort"):
    _load_package()
    _alias()
elif __name__ == "discomfort":
    # The folder above this repository is on sys.path and hides the package of the same name inside it.
    _load_package()
