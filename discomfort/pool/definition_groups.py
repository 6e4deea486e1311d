"""Groups of servers with the same nodes, and the lists in which they differ. Pure.

Servers with the same nodes may have other models and input files: these lists do not count, and the definitions of a
group have what any of its servers lists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from discomfort._json import JsonObject, dumps
from discomfort.workflow.dynamic_inputs import spec_settings
from discomfort.workflow.model_folders import model_folder

_SECTIONS = ("required", "optional")


class DefinitionGroup:
    """The servers whose nodes are the same, by name, with their definitions."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint: str = fingerprint
        self.servers: dict[str, JsonObject] = {}
        self.definitions: JsonObject = {}
        """Those of all servers together; the same object until a server comes or goes."""

    def add(self, server: str, definitions: JsonObject) -> None:
        """A server has these definitions."""
        self.servers[server] = definitions
        self._merge()

    def remove(self, server: str) -> None:
        """A server is gone, if it was here. The definitions of the last one stay."""
        if self.servers.pop(server, None) is not None:
            self._merge()

    def _merge(self) -> None:
        known = list(self.servers.values())
        if known and any(each != known[0] for each in known[1:]):
            self.definitions = merged(known)
        elif known and self.definitions != known[0]:
            # The same object as long as nothing changes: who compares definitions then compares identities.
            self.definitions = known[0]

    def is_compatible(self, other: DefinitionGroup, classes: Iterable[str]) -> bool:
        """Whether a prompt of these node classes is the same prompt for the servers of another group."""
        return all(
            _plain(name, self.definitions.get(name)) == _plain(name, other.definitions.get(name)) for name in classes
        )


def fingerprint_of(definitions: JsonObject) -> str:
    """The same text for servers with the same nodes."""
    digest = hashlib.blake2b(digest_size=12)
    for name in sorted(definitions):
        digest.update(dumps([name, _plain(name, definitions[name])]))
    return digest.hexdigest()


def merged(known: Iterable[JsonObject]) -> JsonObject:
    """The definitions of the first server, with the lists of all."""
    first, *others = known
    made = dict(first)
    for name, definition in first.items():
        for section, inputs in _inputs(definition):
            for key, spec in inputs.items():
                if not _is_list_of_files(name, key, spec):
                    continue
                options = dict.fromkeys(_options(spec))
                for other in others:
                    options |= dict.fromkeys(_options(_spec(other.get(name), section, key)))
                if len(options) > len(_options(spec)):
                    made[name] = _with_options(made[name], section, key, list(options))
    return made


def listed(definitions: Mapping[str, Any]) -> frozenset[str]:
    """The models that a server lists, as ``folder/name``."""
    found: set[str] = set()
    for name, definition in definitions.items():
        for _, inputs in _inputs(definition):
            for key, spec in inputs.items():
                folder = model_folder(name, key)
                if folder is not None:
                    found.update(f"{folder.removeprefix('models/')}/{each}" for each in _options(spec))
    return frozenset(found)


def _inputs(definition: Any) -> list[tuple[str, Mapping[str, Any]]]:
    sections = definition.get("input") if isinstance(definition, Mapping) else None
    if not isinstance(sections, Mapping):
        return []
    return [(name, part) for name in _SECTIONS if isinstance(part := sections.get(name), Mapping)]


def _is_list_of_files(class_type: str, name: str, spec: Any) -> bool:
    is_upload = any(str(key).endswith("_upload") and value for key, value in spec_settings(spec).items())
    return is_upload or model_folder(class_type, name) is not None


def _spec(definition: Any, section: str, name: str) -> Any:
    return next((part.get(name) for found, part in _inputs(definition) if found == section), None)


def _options(spec: Any) -> list[str]:
    options = spec[0] if isinstance(spec, list) and spec else None
    if not isinstance(options, list):
        options = spec_settings(spec).get("options")
    return [each for each in options if isinstance(each, str)] if isinstance(options, list) else []


def _with_options(definition: JsonObject, section: str, name: str, options: list[str]) -> JsonObject:
    """A copy of a node's definition in which one list is another one."""
    sections = dict(definition["input"])
    spec = list(sections[section][name])
    if isinstance(spec[0], list):
        spec[0] = options
    else:
        spec[1] = {**spec[1], "options": options}
    sections[section] = {**sections[section], name: spec}
    return {**definition, "input": sections}


def _plain(class_type: str, definition: Any) -> Any:
    """A definition without the lists of files, and the defaults that are chosen from them."""
    parts = _inputs(definition)
    if not any(_is_list_of_files(class_type, key, spec) for _, inputs in parts for key, spec in inputs.items()):
        return definition
    sections = dict(definition["input"])
    for section, inputs in parts:
        sections[section] = {
            key: [key] if _is_list_of_files(class_type, key, spec) else spec for key, spec in inputs.items()
        }
    return {**definition, "input": sections}
