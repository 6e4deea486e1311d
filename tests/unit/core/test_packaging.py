"""The documented import paths, pip-installed and as a node pack, and the files that installers read."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def python(code: str, cwd: Path, *, isolated: bool = False) -> str:
    """Run code in a fresh interpreter and return what it printed; ``isolated`` hides the installed package."""
    blocker = (
        "import sys, importlib.abc\n"
        "class Hide(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'discomfort' and path is None: raise ImportError('not installed')\n"
        "sys.meta_path.insert(0, Hide())\n"
        "sys.path.insert(0, '')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", (blocker if isolated else "") + code],
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """A ComfyUI folder with this repository among its custom nodes."""
    (tmp_path / "custom_nodes").mkdir()
    (tmp_path / "custom_nodes" / "discomfort").symlink_to(ROOT, target_is_directory=True)
    return tmp_path


def test_requirements_are_the_dependencies() -> None:
    """What ComfyUI's manager installs is what pip installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == project["dependencies"]


def test_registry_metadata() -> None:
    """ComfyUI's registry reads [tool.comfy], the licence and the version."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert data["tool"]["comfy"]["PublisherId"]
    assert data["tool"]["comfy"]["DisplayName"]
    assert data["project"]["license"] == "MIT"
    assert "MIT License" in (ROOT / "LICENSE").read_text()


def test_version_is_one() -> None:
    """The package and its metadata tell the same version."""
    import discomfort

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert discomfort.__version__ == version
    assert (
        f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
        or "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    )


def test_installed_import_paths() -> None:
    """The documented modules give the same classes as the package."""
    import discomfort
    from discomfort.comfy_serverless import ComfyConnector
    from discomfort.discomfort import Discomfort
    from discomfort.workflow_context import WorkflowContext
    from discomfort.workflow_tools import WorkflowTools

    assert discomfort.WorkflowContext is WorkflowContext
    assert discomfort.ComfyConnector is ComfyConnector
    assert discomfort.Discomfort is Discomfort
    assert discomfort.WorkflowTools is WorkflowTools


@pytest.mark.parametrize("isolated", [True, False], ids=["cloned", "cloned-and-installed"])
def test_node_pack_import_paths(comfyui: Path, isolated: bool) -> None:
    """In a ComfyUI folder the documented paths lead to one and the same class, first import whichever."""
    code = (
        "from custom_nodes.discomfort.comfy_serverless import ComfyConnector\n"
        "from custom_nodes.discomfort.discomfort import Discomfort\n"
        "from custom_nodes.discomfort.workflow_context import WorkflowContext\n"
        "from custom_nodes.discomfort.workflow_tools import WorkflowTools\n"
        "import sys\n"
        "package = sys.modules['discomfort']\n"
        "print(package.ComfyConnector is ComfyConnector, package.Discomfort is Discomfort, ComfyConnector.__module__)\n"
        "print(package.WorkflowContext is WorkflowContext, package.WorkflowTools is WorkflowTools)\n"
        "from custom_nodes.discomfort import Discomfort as named, NODE_CLASS_MAPPINGS\n"
        "print(named is Discomfort, len(NODE_CLASS_MAPPINGS))"
    )

    printed = python(code, comfyui, isolated=isolated).splitlines()
    assert printed == ["True True discomfort.connector.connector", "True True", "True 7"]


def test_package_is_not_hidden_by_the_repository(tmp_path: Path) -> None:
    """With the folder above the repository first on the path, `import discomfort` still gives the package."""
    (tmp_path / "discomfort").symlink_to(ROOT, target_is_directory=True)

    assert python("import sys; sys.path.insert(0, '')\nimport discomfort; print(discomfort.__version__)", tmp_path)


def test_loads_as_a_node_pack(comfyui: Path) -> None:
    """The way ComfyUI loads a folder: by file location, under the folder's path as its name. No library is imported."""
    code = (
        "import importlib.util, json, pathlib, sys\n"
        "path = 'custom_nodes/discomfort'\n"
        "spec = importlib.util.spec_from_file_location(path, path + '/__init__.py')\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules[path] = module\n"
        "spec.loader.exec_module(module)\n"
        "names = ('aiohttp', 'orjson', 'pydantic', 'discomfort', 'torch')\n"
        "assert (pathlib.Path(path) / module.WEB_DIRECTORY / 'discomfort_ports.js').is_file()\n"
        "print(json.dumps([len(module.NODE_CLASS_MAPPINGS), [name for name in names if name in sys.modules]]))"
    )

    assert json.loads(python(code, comfyui)) == [
        7,
        [],
    ]


def test_import_is_light() -> None:
    """Importing the package, its connector and its tools loads neither the browser driver nor torch nor Pillow."""
    code = (
        "import sys, discomfort, discomfort.connector, discomfort.workflow_tools\n"
        "discomfort.WorkflowTools()\n"
        "print([m for m in ('playwright', 'torch', 'typer', 'PIL') if m in sys.modules])"
    )

    assert python(code, ROOT / "tests") == "[]"


def test_no_module_shadows_the_package() -> None:
    """A discomfort.py beside the package would hide an editable install."""
    assert not (ROOT / "discomfort.py").exists()
    assert importlib.util.find_spec("discomfort") is not None
