"""Input files that a workflow names: which inputs name them, and in which of the server's folders they belong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from discomfort._error_text import nearest
from discomfort.planning.constant_inputs import ConstantInput
from discomfort.planning.needs import FileNeed
from discomfort.workflow.dynamic_inputs import spec_settings

_ANNOTATED = re.compile(r"(?P<name>.+) ?\[(?P<folder>input|output|temp)\]")
_WITHOUT_MARK = frozenset({("LoadLatent", "latent"), ("GeminiInputFiles", "file"), ("OpenAIInputFiles", "file")})
"""Inputs that choose a file of the input folder although their definition does not say so (0.33.0)."""
_NEAR = 0.6


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that an input names; ``listed`` are the files that its definition lists."""

    place: str
    name: str
    subfolder: str
    folder: str
    listed: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The name as an input has it."""
        return f"{self.subfolder}/{self.name}" if self.subfolder else self.name

    def need(self) -> FileNeed:
        """What is said about it if it is not there."""
        where = "" if self.folder == "input" else f" [{self.folder}]"
        near = nearest(self.shown, self.listed, cutoff=_NEAR)[:3]
        return FileNeed(name=self.shown + where, input=self.place, near=tuple(near))


def is_file_input(each: ConstantInput) -> bool:
    """Whether an input names a file that is uploaded."""
    if (each.class_type, each.name) in _WITHOUT_MARK:
        return True
    return any(str(key).endswith("_upload") and value for key, value in spec_settings(each.spec).items())


def named_file(each: ConstantInput) -> NamedFile | None:
    """The file that a file input names; ``None`` if the server lists the value, or it names none."""
    listed = _listed(each.spec)
    if not isinstance(each.value, str) or not each.value or each.value in listed:
        return None
    found = _ANNOTATED.fullmatch(each.value)
    path = found["name"].rstrip() if found else each.value
    folder = found["folder"] if found else str(spec_settings(each.spec).get("image_folder") or "input")
    subfolder, _, name = path.rpartition("/")
    return NamedFile(each.place, name, subfolder, folder, listed)


def _listed(spec: Any) -> tuple[str, ...]:
    options = spec[0] if isinstance(spec, list | tuple) and spec else None
    if not isinstance(options, list):
        options = spec_settings(spec).get("options")
    return tuple(option for option in options if isinstance(option, str)) if isinstance(options, list) else ()
