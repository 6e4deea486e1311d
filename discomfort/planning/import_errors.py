"""Import errors of node packs, as ComfyUI writes them to its log when it starts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from discomfort.redaction import redact

_WITH_REASON = re.compile(r"Cannot import (?P<path>.+?) module for custom nodes: (?P<error>.*)")
_WITHOUT_REASON = re.compile(r"\(IMPORT FAILED\): (?P<path>.+?)\s*$")
_OWN = re.compile(r"^(?:\[[^\]]*\]\s*)?IMPORT FAILED: (?P<file>[\w.-]+\.py)\s*$")
_BEGINNING = "ComfyUI version: "
"""What ComfyUI writes once, before it loads packs (0.3.64 and 0.33.0)."""


@dataclass(frozen=True, slots=True)
class ImportFailures:
    """The packs that a server could not load, by folder, each with the error.

    ``own`` are files of ComfyUI itself, such as ``nodes_audio.py``. ``is_complete``: the log still has the start.
    """

    packs: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    is_complete: bool = False

    def of(self, *names: str | None) -> str | None:
        """The error of the pack with one of these names: a registry id, or an address of a repository."""
        wanted = {_plain(name) for name in names if name}
        return next((error for folder, error in self.packs.items() if _plain(folder) in wanted), None)


def import_failures(lines: Iterable[str]) -> ImportFailures:
    """What the lines of a log say."""
    packs: dict[str, str] = {}
    own: dict[str, None] = {}
    is_complete = False
    for line in lines:
        is_complete = is_complete or _BEGINNING in line
        if found := _WITH_REASON.search(line):
            packs[_folder(found["path"])] = redact(found["error"].strip())[:500]
        elif found := _WITHOUT_REASON.search(line):
            packs.setdefault(_folder(found["path"]), "the log says no more than that it failed")
        elif found := _OWN.search(line):
            own[found["file"]] = None
    return ImportFailures(packs, tuple(own), is_complete)


def _folder(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _plain(name: str) -> str:
    """What folder, id and repository have in common: ``comfyui-a-pack`` of ``owner/ComfyUI_A-Pack.git``."""
    last = name.rstrip("/").rpartition("/")[2].casefold()
    return last.removesuffix(".git").removesuffix(".py").replace("_", "-")
