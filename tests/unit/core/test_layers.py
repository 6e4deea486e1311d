"""The layers of ARCHITECTURE.md, read from the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "discomfort"
PARTS = {"config", "process", "client", "conversion", "files", "emulator", "conformance"}
LAYERS = {
    **dict.fromkeys(["exceptions", "progress", "_json", "_async", "_http", "redaction"], 0),
    **dict.fromkeys(["workflow", "resources", ""], 0),
    **dict.fromkeys(PARTS, 1),
    **dict.fromkeys(["connector", "comfy_serverless", "sync"], 2),
    "discomfort": 3,
    **dict.fromkeys(["cli", "testing", "__main__"], 4),
}
HEAVY = {"playwright": "discomfort/conversion", "torch": None, "ray": None}


def unit(module: str) -> str:
    return module.removeprefix("discomfort").removeprefix(".").split(".")[0]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every imported module of a file, and whether the import stands at module level."""
    tree = ast.parse(path.read_text())
    package = path.relative_to(ROOT).parent.parts
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{name}.{alias.name}" for alias in node.names] if name == "discomfort" else [name]
            found += [(name, id(node) in top) for name in names]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    """No module imports from a higher layer, and no part from another part."""
    relative = path.relative_to(PACKAGE)
    own = relative.parts[0].removesuffix(".py")
    own = "" if own == "__init__" else own
    assert own in LAYERS, f"{relative} belongs to no layer: name it in this test and in ARCHITECTURE.md"
    if own in ("", "cli", "testing", "__main__"):
        return
    for module, _ in imports(path):
        if module.split(".")[0] != "discomfort" or module == "discomfort.__version__":
            continue
        other = unit(module)
        assert LAYERS[other] <= LAYERS[own], f"{relative} imports {module}"
        assert own not in PARTS or other not in PARTS or other == own, f"part {own} imports part {other}: {module}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_are_imported_lazily_in_one_place(path: Path) -> None:
    """Playwright inside a function of the conversion part; torch and ray nowhere."""
    for module, at_top in imports(path):
        home = HEAVY.get(module.split(".")[0], "")
        if home == "" or type_checking_only(path, module):
            continue
        assert home is not None, f"{path} imports {module}"
        assert str(path.relative_to(ROOT)).startswith(home), f"{path} imports {module}"
        assert not at_top, f"{path} imports {module} at module level"


def type_checking_only(path: Path, module: str) -> bool:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return any(module in ast.unparse(inner) for inner in node.body)
    return False
