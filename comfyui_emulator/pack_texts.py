"""Translations and example workflows that packs bring for pages. A pack counts even if it cannot be loaded."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comfyui_emulator.folders import contained
from comfyui_emulator.registry import JsonObject

log = logging.getLogger("comfyui_emulator")

EXAMPLE_FOLDERS = ("example_workflows", "example", "examples", "workflow", "workflows")
"""The folders of a pack in which its example workflows may lie."""

_MAIN, _PARTS = "main.json", ("nodeDefs", "commands", "settings")


def _packs(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(Path(folder).absolute().glob("*/")):
            if path.is_dir() and not path.name.startswith("."):
                yield path


def translations(folders: Sequence[Path]) -> JsonObject:
    """The content of ``/i18n``: by language, ``locales/LANGUAGE/*.json`` of all packs together. Blocking."""
    found: JsonObject = {}
    for pack in _packs(folders):
        for language in sorted((pack / "locales").glob("*/")):
            own = _read(language / _MAIN)
            own |= {part: content for part in _PARTS if (content := _read(language / f"{part}.json"))}
            if own:
                found[language.name] = _joined(found.get(language.name, {}), own)
    return found


def _read(path: Path) -> JsonObject:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError:
        log.error("Error loading %s", path)  # noqa: TRY400 - one line, as in ComfyUI
        return {}
    return content if isinstance(content, dict) else {}


def _joined(one: Any, other: Any) -> Any:
    """Two JSON values as one: objects by key, lists one after the other; otherwise the second counts."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one | {key: _joined(one[key], value) if key in one else value for key, value in other.items()}
    return one + other if isinstance(one, list) and isinstance(other, list) else other


def examples(folders: Sequence[Path]) -> dict[str, list[str]]:
    """The content of ``/workflow_templates``: the names of the example workflows by pack. Blocking."""
    found: dict[str, list[str]] = {}
    for name in EXAMPLE_FOLDERS:
        for pack in _packs(folders):
            for path in sorted((pack / name).glob("*.json")):
                found.setdefault(pack.name, []).append(path.stem)
    return found


def example_file(folders: Sequence[Path], pack: str, name: str) -> Path | None:
    """A file in the example folders of a pack, or ``None``. Blocking."""
    for path in _packs(folders):
        for folder in EXAMPLE_FOLDERS if path.name == pack else ():
            found = contained(path / folder, name)
            if found is not None and found.is_file():
                return found
    return None
