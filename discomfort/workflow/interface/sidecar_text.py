"""Parses the text of a sidecar: YAML, JSON or TOML. Reading the file is the caller's."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Hashable
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import PayloadError
from discomfort.workflow.json_values import describe

_WORDS = {
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    "int": (re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    "float": (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), "-+.0123456789"),
    "null": (re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
}
"""Words that are not texts, as YAML 1.2 has them: ``no`` and the node id ``10:3`` are texts; to 1.1 they are false and
603."""


def parse_sidecar(text: str, suffix: str) -> JsonObject:
    """The object in the text of a sidecar; ``suffix`` is that of its file: ``.yaml``, ``.yml``, ``.json`` or ``.toml``.

    Raises PayloadError if it is not such text, if a key occurs twice, or if PyYAML is missing.
    """
    try:
        found = _parsed(text.removeprefix("\ufeff"), suffix.lower())
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"the sidecar is not {suffix.lstrip('.').upper()}: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise PayloadError(f"the sidecar is {describe(found)}: write an object with inputs and outputs")
    return {str(key): value for key, value in found.items()}


def _parsed(text: str, suffix: str) -> Any:
    if suffix == ".json":
        return json.loads(text, object_pairs_hook=_once)
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix in (".yaml", ".yml"):
        return _yaml(text)
    raise PayloadError(f"a sidecar ends with .yaml, .json or .toml, not {suffix!r}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} occurs twice")
        found[key] = value
    return found


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        remedy = "pip install pyyaml, or write the sidecar as JSON or TOML"
        raise PayloadError(f"a sidecar in YAML needs PyYAML: {remedy}") from error

    class Loader(yaml.SafeLoader):
        """Plain values only; a key occurs once."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            pairs = [(self.construct_object(key, deep=True), self.construct_object(value, deep=True))
                     for key, value in node.value]  # fmt: skip
            once = _once([(str(key), value) for key, value in pairs])
            return dict(once.items())

        def construct_yaml_map(self, node: yaml.MappingNode) -> Any:
            return self.construct_mapping(node, deep=True)

    Loader.yaml_implicit_resolvers = {}
    for kind, (words, first) in _WORDS.items():
        whole = re.compile(f"^(?:{words.pattern})$")
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", whole, list(first))
    Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_yaml_map)
    try:
        # A few aliases of aliases make a value of any size.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError("aliases (*name) are not read: write the value again")
        loader = Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from error
