"""Reads YAML as plain values: words as YAML 1.2 has them, each key once, no aliases, no tags of types."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from discomfort.exceptions import PayloadError

if TYPE_CHECKING:
    import yaml

_WORDS = {
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    "int": (re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    "float": (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), "-+.0123456789"),
    "null": (re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
}
"""Words that are not texts, as YAML 1.2 has them: ``no`` and the node id ``10:3`` are texts; to 1.1 they are false and
603."""
_TAG = "tag:yaml.org,2002:"
_DEEPEST = 50


def plain_yaml(text: str) -> Any:
    """The value in a text of YAML. Raises ValueError with the line; PayloadError if PyYAML is missing."""
    try:
        import yaml
    except ImportError as error:
        remedy = "pip install pyyaml, or write the sidecar as JSON or TOML"
        raise PayloadError(f"a sidecar in YAML needs PyYAML: {remedy}") from error
    try:
        loader = _loader()(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark, error.problem or ""
        if problem.startswith("but "):
            problem = f"{error.context}, {problem}"
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise ValueError(f"{place}{problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from error


def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Plain values only; a key occurs once."""

        depth = 0

        def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
            own: Any = self  # its stubs have no types here
            # A few aliases of aliases make a value of any size.
            if self.check_event(yaml.AliasEvent):
                _refuse(own.get_event().start_mark, "aliases (*name) are not read: write the value again")
            self.depth += 1
            if self.depth > _DEEPEST:
                _refuse(own.get_event().start_mark, f"it is nested deeper than {_DEEPEST} levels")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            found: dict[Hashable, Any] = {}
            for key_node, value_node in node.value:
                key = str(self.construct_object(key_node, deep=True))
                if key in found:
                    _refuse(key_node.start_mark, f"the key {key!r} occurs twice: keep one of them")
                found[key] = self.construct_object(value_node, deep=True)
            return found

    Loader.yaml_implicit_resolvers = {}
    for kind, (words, first) in _WORDS.items():
        Loader.add_implicit_resolver(f"{_TAG}{kind}", re.compile(f"^(?:{words.pattern})$"), list(first))
    # Those of other tags make what JSON has not: bytes, sets, dates.
    Loader.yaml_constructors = {tag: Loader.yaml_constructors[tag] for tag in (f"{_TAG}str", f"{_TAG}seq")}
    Loader.add_constructor(None, _unknown)
    Loader.add_constructor(f"{_TAG}map", _mapping)
    for kind, read in _READ.items():
        Loader.add_constructor(f"{_TAG}{kind}", partial(_scalar, kind, read))
    return Loader


_READ: Mapping[str, Callable[[str], Any]] = {
    "int": lambda text: int(text, 16 if text.startswith("0x") else 10),
    "float": float,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "null": lambda text: None,
}


def _unknown(loader: yaml.SafeLoader, node: yaml.Node) -> NoReturn:
    _refuse(node.start_mark, f"the tag {node.tag.replace(_TAG, '!!')} is not read: write a plain value")


def _mapping(loader: yaml.SafeLoader, node: Any) -> Any:
    return loader.construct_mapping(node, deep=True)


def _scalar(kind: str, read: Callable[[str], Any], loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    text = str(loader.construct_scalar(node))
    try:
        return read(text)
    except (ValueError, KeyError):
        _refuse(node.start_mark, f"{text[:40]!r} is not of the type {kind}")


def _refuse(mark: yaml.Mark, problem: str) -> NoReturn:
    raise ValueError(f"line {mark.line + 1}: {problem}")
