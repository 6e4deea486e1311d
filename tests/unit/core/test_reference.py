"""The reference pages in the repository are those that the docstrings make."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from discomfort.config import Settings, load_settings

DOCS = Path(__file__).parents[3] / "docs"


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_examples_of_settings() -> None:
    """Each setting has one, which is valid and not the default."""
    examples = _maker().EXAMPLES
    settings, defaults = load_settings(**examples), Settings()

    assert list(examples) == list(Settings.model_fields)
    assert [name for name in examples if getattr(settings, name) == getattr(defaults, name)] == []


def test_reference_is_current(tmp_path: Path) -> None:
    """A changed docstring needs `make docs`."""
    _maker().main(tmp_path)

    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    # Pages that are written by hand do not say that they are made.
    texts = {path.name: path.read_text() for path in (DOCS / "reference").glob("*.md")}
    kept = {name: text for name, text in texts.items() if "by `docs/make_reference.py`" in text[:200]}
    assert kept == made, "run `make docs` and commit the pages"
