"""Node types, made from Python classes or from a saved ``/object_info``."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from comfyui_emulator.dynamic_inputs import InputShape, expanded, is_dynamic
from comfyui_emulator.left_out import LEFT_OUT

JsonObject = dict[str, Any]

log = logging.getLogger("comfyui_emulator")


class NeedsComfyUIError(NotImplementedError):
    """Raised by a node that the emulator knows only by its definition."""

    def __init__(self, class_type: str, reason: str = "") -> None:
        why = f" ({reason})" if reason else ""
        super().__init__(
            f"{class_type} is not implemented by the discomfort emulator{why}: it is known by its definition only. "
            "Run this prompt on a real ComfyUI; for discomfort, set COMFYUI_PATH to its folder."
        )


class UnloadedNodesError(RuntimeError):
    """The node types of a server could not be loaded; the cause is the reason."""


ANY = "*"
"""The type that matches every other (ComfyUI 0.8 and newer)."""


class NodeType:
    """One node class.

    ``cls`` has the shape of a ComfyUI node class. ``saved`` is its entry in a saved ``/object_info``; if given, clients
    and validation use it. ``cls`` may then be missing, and execution raises :class:`NeedsComfyUIError`.
    """

    def __init__(
        self, name: str, cls: type | None, *, title: str | None = None, saved: JsonObject | None = None
    ) -> None:
        self.name, self.cls, self.saved = name, cls, saved
        self.title = title
        self.is_output = bool(self._attribute("OUTPUT_NODE", "output_node", False))
        intermediate = self._attribute("HAS_INTERMEDIATE_OUTPUT", "has_intermediate_output", False)
        self.has_intermediate_output = bool(intermediate)
        """Whether a run sends the node's UI part again if the node is cached (ComfyUI 0.19 and newer)."""
        self.input_is_list = bool(getattr(cls, "INPUT_IS_LIST", False))
        self.hidden_prefix: str = getattr(cls, "HIDDEN_PREFIX", "")
        """Prefix of the names of hidden inputs when the node is called, to keep them apart from other inputs."""
        self.hides_inputs = bool(getattr(cls, "SCHEMA_V3", False))
        """Whether errors leave out hidden inputs: the newer schema keeps them apart from the others."""
        self.not_idempotent = bool(getattr(cls, "NOT_IDEMPOTENT", False))
        self.output_types: tuple[Any, ...] = tuple(self._attribute("RETURN_TYPES", "output", ()))
        self.newer = bool(getattr(cls, "SCHEMA_V3", False)) or (saved is not None and "api_node" in saved)
        """Whether the class is of the newer schema, which has dynamic inputs and keeps hidden ones apart."""
        self.accepts_all = bool(getattr(cls, "ACCEPT_ALL_INPUTS", False))
        """Whether the node gets constants of the prompt that its class does not declare."""
        self.return_types: Sequence[Any] = list(self.output_types) if self.newer else self.output_types
        """The output types as validation indexes them; a list for the newer schema, which errors show."""
        is_list = self._attribute("OUTPUT_IS_LIST", "output_is_list", None)
        self.output_is_list: tuple[bool, ...] = (
            tuple(bool(flag) for flag in is_list) if is_list else (False,) * len(self.output_types)
        )
        function = getattr(cls, getattr(cls, "FUNCTION", ""), None) if cls is not None else None
        self.is_async = inspect.iscoroutinefunction(function)
        self.has_lazy_check = hasattr(cls, "check_lazy_status")
        self.change_hook = self._hook("IS_CHANGED")
        self.validate_hook = self._hook("VALIDATE_INPUTS")
        self._structure: JsonObject | None = None
        self._dynamic: bool | None = None
        own: JsonObject | None = getattr(cls, "CONSTANT_INPUTS", None)
        self._lists_change = cls is not None and own is None
        self._constant_inputs: JsonObject | None = saved["input"] if saved else own

    def _attribute(self, of_class: str, of_saved: str, default: Any) -> Any:
        if self.saved is not None:
            return self.saved.get(of_saved, default)
        return getattr(self.cls, of_class, default)

    def _hook(self, name: str) -> Callable[..., Any] | None:
        hook = getattr(self.cls, name, None)
        return hook if callable(hook) else None

    def input_types(self) -> JsonObject:
        """``{"required": …, "optional": …, "hidden": …}`` as the class returns it now.

        A saved definition lists the files of the server that it was saved from; if a class can make such lists, its own
        are used instead.
        """
        if self._constant_inputs is not None and not self._lists_change:
            return self._constant_inputs
        if self.cls is None:
            return {}
        result: JsonObject = self.cls.INPUT_TYPES()  # type: ignore[attr-defined]
        return result if self._constant_inputs is None else _with_lists_of(result, self._constant_inputs)

    @property
    def structure(self) -> JsonObject:
        """:meth:`input_types` as of its first call: names and kinds of inputs, with options that may be out of date.

        Execution needs no more, and listing a loader's folder at every step would be slow.
        """
        if self._structure is None:
            self._structure = self.input_types()
        return self._structure

    def shape(self, given: Mapping[str, Any], declared: JsonObject | None = None) -> InputShape:
        """The inputs of a node of this class that has the inputs ``given`` (:func:`~.dynamic_inputs.expanded`)."""
        declared = self.structure if declared is None else declared
        if self._dynamic is None:
            self._dynamic = self.newer and is_dynamic(self.structure)
        if self._dynamic:
            return expanded(declared, given)
        return InputShape(_visible(declared) if self.newer else declared)

    def input_entry(self, name: str, declared: JsonObject | None = None) -> tuple[str, Any, JsonObject] | None:
        """``(section, type, options)`` of an input; ``None`` if the class does not declare it."""
        declared = self.structure if declared is None else declared
        for section in ("required", "optional", "hidden"):
            entry = (declared.get(section) or {}).get(name)
            if entry is None:
                continue
            if isinstance(entry, str):
                return section, entry, {}
            return section, entry[0], (entry[1] if len(entry) > 1 else {})
        return None

    def info(self) -> JsonObject:
        """The entry of ``/object_info``."""
        if self.saved is not None:
            return {**self.saved, "input": self.input_types()} if self._lists_change else self.saved
        if hasattr(self.cls, "NODE_INFO"):
            told: JsonObject = self.cls.NODE_INFO()  # type: ignore[union-attr]
            return told
        cls, declared = self.cls, self.input_types()
        info: JsonObject = {
            "input": declared,
            "input_order": {section: list(entries) for section, entries in declared.items()},
            "is_input_list": self.input_is_list,
            "output": list(self.output_types),
            # Some classes of ComfyUI say null where they mean no.
            "output_is_list": list(getattr(cls, "OUTPUT_IS_LIST", None) or self.output_is_list),
            "output_name": list(getattr(cls, "RETURN_NAMES", None) or self.output_types),
            "name": self.name,
            "display_name": self.title,
            "description": getattr(cls, "DESCRIPTION", ""),
            "python_module": getattr(cls, "RELATIVE_PYTHON_MODULE", "nodes"),
            "category": getattr(cls, "CATEGORY", "sd"),
            "output_node": self.is_output,
            "has_intermediate_output": self.has_intermediate_output,
        }
        return info | (self._newer_info() if self.newer else self._older_info())

    def _newer_info(self) -> JsonObject:
        """The keys that every class of the newer schema has: tooltips and flags of ComfyUI 0.3.64, the rest since."""
        cls, flags = self.cls, ("deprecated", "experimental", "dev_only", "api_node")
        return {
            "output_tooltips": list(getattr(cls, "OUTPUT_TOOLTIPS", None) or [None] * len(self.output_types)),
            "output_matchtypes": getattr(cls, "OUTPUT_MATCHTYPES", None),
            **{name: bool(getattr(cls, name.upper(), False)) for name in flags},
            "price_badge": None,
            "search_aliases": getattr(cls, "SEARCH_ALIASES", None) or None,
            "essentials_category": getattr(cls, "ESSENTIALS_CATEGORY", None),
        }

    def _older_info(self) -> JsonObject:
        """The keys that a class of the older kind has only if it says so, except for its aliases."""
        cls, info = self.cls, JsonObject(search_aliases=getattr(self.cls, "SEARCH_ALIASES", []))
        for name in ("output_tooltips", "api_node", "essentials_category"):
            if hasattr(cls, name.upper()):
                info[name] = getattr(cls, name.upper())
        return info | {
            name: True for name in ("deprecated", "experimental", "dev_only") if getattr(cls, name.upper(), False)
        }

    def instantiate(self) -> Any:
        """A new object of the class. Raises :class:`NeedsComfyUIError` if there is no implementation."""
        if self.cls is None:
            raise NeedsComfyUIError(self.name, LEFT_OUT.get(self.name, ""))
        return self.cls()


def _visible(declared: JsonObject) -> JsonObject:
    """The inputs that a prompt may give to a node of the newer schema."""
    return {section: entries for section, entries in declared.items() if section != "hidden"}


def _with_lists_of(current: JsonObject, saved: JsonObject) -> JsonObject:
    """A saved definition of inputs, with its lists of choices replaced by the current ones."""
    result = {section: dict(entries) for section, entries in saved.items()}
    for section, entries in current.items():
        for name, entry in entries.items():
            old = result.get(section, {}).get(name)
            if old is None or isinstance(entry, str):
                continue
            options = entry[1] if len(entry) > 1 else {}
            if isinstance(entry[0], list) and isinstance(old[0], list):
                result[section][name] = [entry[0], *old[1:]]
            elif "options" in options and len(old) > 1 and "options" in old[1]:
                result[section][name] = [old[0], {**old[1], "options": options["options"]}]
    return result


class Registry(Mapping[str, NodeType]):
    """All node types of one server by class name."""

    def __init__(self) -> None:
        self._types: dict[str, NodeType] = {}

    def add_class(self, name: str, cls: type, title: str | None) -> None:
        """Register ``cls`` as ``name``, replacing any type of that name.

        ``title`` is the display name (``None``: the frontend shows the class name).
        """
        self._types[name] = NodeType(name, cls, title=title)

    def add_definitions(self, object_info: Mapping[str, JsonObject]) -> None:
        """Serve these ``/object_info`` entries; existing implementations are kept."""
        for name, info in object_info.items():
            known = self._types.get(name)
            self._types[name] = NodeType(name, known.cls if known else None, saved=info)

    def infos(self) -> dict[str, JsonObject]:
        """``/object_info`` of all classes. A class whose definition raises is left out and logged."""
        result: dict[str, JsonObject] = {}
        for name, node in self._types.items():
            try:
                result[name] = node.info()
            except Exception:  # classes of packs may raise anything
                log.exception("the definition of node %s could not be read", name)
        return result

    def __getitem__(self, name: str) -> NodeType:
        """The type called ``name``. Raises ``KeyError``."""
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        """The class names."""
        return iter(self._types)

    def __len__(self) -> int:
        """The number of types."""
        return len(self._types)


def is_link(value: object) -> bool:
    """Whether the executor takes an input's value for a link, ``[node id, output slot]``."""
    return (
        isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int | float)
    )


def node_inputs(node: Mapping[str, Any]) -> JsonObject:
    """The inputs of a prompt's node; empty if they are missing or not an object."""
    inputs = node.get("inputs")
    return inputs if isinstance(inputs, dict) else {}
