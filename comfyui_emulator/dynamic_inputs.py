"""Inputs that stand for several: which ones a node of a prompt has, and how they reach the node. Pure.

The kinds, since ComfyUI 0.8 at the latest: ``COMFY_AUTOGROW_V3``, copies of one template; ``COMFY_DYNAMICCOMBO_V3``, a
choice whose options bring inputs of their own; ``COMFY_DYNAMICSLOT_V3``, a link that does so once it is there. In a
prompt their inputs have names with dots, such as ``images.image0``; the node receives nested dicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]

AUTOGROW, DYNAMIC_COMBO, DYNAMIC_SLOT = "COMFY_AUTOGROW_V3", "COMFY_DYNAMICCOMBO_V3", "COMFY_DYNAMICSLOT_V3"


@dataclass(frozen=True, slots=True)
class InputShape:
    """The inputs of one node of a prompt: those of its class, with dynamic ones replaced by the ones that it has.

    ``paths`` say where each of these goes in the nested arguments, with dots; ``empty`` are groups without any.
    """

    declared: JsonObject
    paths: Mapping[str, str] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()

    def nested(self, arguments: Mapping[str, Any], *, keyed: bool = False) -> dict[str, Any]:
        """The arguments of a call. A dynamic input that the prompt does not have is ``None``.

        With ``keyed``, each value comes in a tuple with its full name, as ``check_lazy_status`` gets it.
        """
        if not self.paths:
            return dict(arguments)
        plain = {name: value for name, value in arguments.items() if name not in self.paths}
        groups: dict[str, Any] = {}
        for name, path in self.paths.items():
            value = arguments.get(name)
            if value is None and name in self.empty:
                value = {}
            *above, last = path.split(".")
            group = groups
            for step in above:
                group = group.setdefault(step, {})
            group[last] = (value, name) if keyed else value
        return plain | groups


def is_dynamic(declared: JsonObject) -> bool:
    """Whether an input of the class stands for several."""
    return any(
        not isinstance(entry, str) and _expander(entry[0]) is not None
        for section in ("required", "optional")
        for entry in (declared.get(section) or {}).values()
    )


def expanded(declared: JsonObject, given: Mapping[str, Any]) -> InputShape:
    """The inputs that a node with the inputs ``given`` has, without hidden ones, which no prompt gives."""
    growth = _Growth(given)
    growth.take(declared, "")
    return InputShape({"required": growth.required, "optional": growth.optional}, growth.paths, frozenset(growth.empty))


class _Growth:
    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given
        self.required: JsonObject = {}
        self.optional: JsonObject = {}
        self.paths: dict[str, str] = {}
        self.empty: set[str] = set()

    def take(self, declared: JsonObject, prefix: str) -> None:
        """Add the inputs of a class, or those of a group, whose names then begin with ``prefix``."""
        for section in ("required", "optional"):
            for name, entry in (declared.get(section) or {}).items():
                full = prefix + name
                expander = _expander(entry[0])
                if expander is not None:
                    expander(self, full, entry, section)
                    continue
                self.section(section)[full] = entry
                if prefix:
                    self.paths[full] = full

    def section(self, name: str) -> JsonObject:
        return self.required if name == "required" else self.optional

    def autogrow(self, full: str, entry: Any, _section: str) -> None:
        """The first copies are required, unless the template is optional; only those that are given reach the node."""
        template = entry[1]["template"]
        names = template.get("names")
        if names is None:
            names = [f"{template['prefix']}{number}" for number in range(template["max"])]
        section, copied = next((key, next(iter(found.values()))) for key, found in template["input"].items() if found)
        present: JsonObject = {}
        for number, name in enumerate(names):
            needed = section == "required" and number < template["min"]
            self.section("required" if needed else "optional")[f"{full}.{name}"] = copied
            if f"{full}.{name}" in self.given:
                present.setdefault("required" if needed else "optional", {})[name] = copied
        if not present:
            self.paths[full] = full
            self.empty.add(full)
        self.take(present, f"{full}.")

    def combo(self, full: str, entry: Any, section: str) -> None:
        """Only the inputs of the chosen option. Without a known option the whole group is missing, without an error."""
        chosen = self.given.get(full)
        for option in entry[1]["options"]:
            if full in self.given and option["key"] == chosen:
                self.group(full, entry, section, option["inputs"])
                return

    def slot(self, full: str, entry: Any, section: str) -> None:
        """The inputs that come with a link, once the link is there."""
        if full in self.given:
            self.group(full, entry, section, entry[1]["inputs"])

    def group(self, full: str, entry: Any, section: str, inputs: JsonObject) -> None:
        self.take(inputs, f"{full}.")
        self.section(section)[full] = entry
        self.paths[full] = f"{full}.{full.rpartition('.')[2]}"


_EXPANDERS: dict[str, Callable[[_Growth, str, Any, str], None]] = {
    AUTOGROW: _Growth.autogrow,
    DYNAMIC_COMBO: _Growth.combo,
    DYNAMIC_SLOT: _Growth.slot,
}


def _expander(kind: object) -> Callable[[_Growth, str, Any, str], None] | None:
    return _EXPANDERS.get(kind) if isinstance(kind, str) else None
