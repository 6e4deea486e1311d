"""Resolves uploads that a prompt names without their subfolder.

The documented example uploads into a subfolder of ``input`` and then names the file without it. ComfyUI's file pickers
accept only ``subfolder/name``. So a picker that holds the bare name of exactly one of our uploads gets its full name.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.preflight import input_spec

_log = logging.getLogger("discomfort.connector.upload_names")


class UploadPlaces:
    """The places of this connector's uploads in the input folder, by name."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, ...]] = {}
        # Uploads may come from any thread, runs come from the event loop.
        self._lock = threading.Lock()

    def note(self, name: str, subfolder: str) -> None:
        """Remember an upload into a subfolder of ``input``."""
        place = str(PurePosixPath(subfolder, name))
        with self._lock:
            known = self._places.get(name, ())
            if place not in known:
                self._places[name] = (*known, place)

    def forget(self, path: Path, folder: Path) -> None:
        """Forget an upload by its full path; ``folder`` is the input folder."""
        # Resolved, since either may be given through a link. Comparing ends of paths would not do: ``big/cats/a.png``
        # ends with ``cats/a.png``, which may be another upload.
        parent = path.parent.resolve()
        with self._lock:
            known = self._places.pop(path.name, ())
            left = tuple(place for place in known if (folder / place).parent.resolve() != parent)
            if left:
                self._places[path.name] = left

    def named_in(self, prompt: JsonObject) -> frozenset[str]:
        """The values in ``prompt`` that are names of uploads. The cost does not grow with the number of uploads."""
        with self._lock:
            if not self._places:
                return frozenset()
            return frozenset(value for value in _texts(prompt) if value in self._places)

    def resolve(self, prompt: JsonObject, definitions: Mapping[str, Any], folder: Path) -> JsonObject:
        """``prompt`` itself, or a copy in which pickers with the bare name of an upload have its full name.

        ``folder`` is the input folder. A file of that name in it takes precedence. If two uploads have the name,
        neither is used, and the server reports that there is no such file.
        """
        places = {name: place for name in self.named_in(prompt) if (place := self._only_place(name, folder))}
        changed: JsonObject = {}
        for node_id, node in prompt.items() if places else ():
            inputs = node.get("inputs") if isinstance(node, dict) else None
            if not isinstance(inputs, dict) or not isinstance(node.get("class_type"), str):
                continue
            for name, value in inputs.items():
                if isinstance(value, str) and value in places and _is_combo(input_spec(definitions, node, name)):
                    copy = changed.setdefault(node_id, {**node, "inputs": dict(inputs)})
                    copy["inputs"][name] = places[value]
                    _log.info("node %s: %s %r is the upload %r", node_id, name, value, places[value])
        return {**prompt, **changed} if changed else prompt

    def _only_place(self, name: str, folder: Path) -> str | None:
        if (folder / name).exists():
            return None
        with self._lock:
            known = self._places.get(name, ())
        found = [place for place in known if (folder / place).is_file()]
        return found[0] if len(found) == 1 else None


def _texts(prompt: JsonObject) -> Iterator[str]:
    for node in prompt.values():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        if isinstance(inputs, dict):
            yield from (value for value in inputs.values() if isinstance(value, str))


def _is_combo(spec: object) -> bool:
    return isinstance(spec, list | tuple) and bool(spec) and (isinstance(spec[0], list) or spec[0] == "COMBO")
