"""Node classes of ComfyUI's newer schema: their definitions and how they are called."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from comfyui_emulator.compat.dynamic_kinds import MatchOutput
from comfyui_emulator.compat.fields import DynamicInput, Input, JsonObject, Output, declared


class Hidden(str, Enum):  # noqa: UP042 - as in ComfyUI: str() does not give the value
    """Values that a node may request in addition to its inputs."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"  # noqa: S105 - not a password
    api_key_comfy_org = "API_KEY_COMFY_ORG"
    comfy_usage_source = "COMFY_USAGE_SOURCE"


class HiddenHolder:
    """The hidden values of one call; ``None`` for those that the node did not request."""

    def __init__(self, **values: Any) -> None:
        vars(self).update({member.name: None for member in Hidden} | values)

    def __getattr__(self, name: str) -> None:
        """Return ``None`` for every value that was not given."""
        return


@dataclass
class PriceBadgeDepends:
    """The inputs that a price depends on."""

    widgets: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    input_groups: list[str] = field(default_factory=list)


@dataclass
class PriceBadge:
    """A node's price, as an expression that the frontend evaluates."""

    expr: str
    depends_on: PriceBadgeDepends = field(default_factory=PriceBadgeDepends)
    engine: str = "jsonata"

    def as_dict(self, inputs: Sequence[Input]) -> JsonObject:
        """The definition. Raises ``ValueError`` for a widget that the node does not have."""
        types: JsonObject = {}
        for each in inputs:
            types[each.id] = each.get_io_type()
            nested = [
                inner for option in getattr(each, "options", None) or () for inner in getattr(option, "inputs", ())
            ]
            types |= {f"{each.id}.{inner.id}": inner.get_io_type() for inner in nested}
        unknown = [name for name in self.depends_on.widgets if name not in types]
        if unknown:
            raise ValueError(f"the price depends on unknown widgets {unknown}; there are {', '.join(types)}")
        widgets = [{"name": name, "type": types[name]} for name in self.depends_on.widgets]
        depends = {"widgets": widgets, "inputs": self.depends_on.inputs, "input_groups": self.depends_on.input_groups}
        return {"engine": self.engine, "depends_on": depends, "expr": self.expr}


@dataclass
class Schema:
    """The definition of a node. Fields are ComfyUI's; inputs and outputs are those of ``io``."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] | None = None
    outputs: list[Output] | None = None
    hidden: list[Hidden] | None = None
    description: str = ""
    search_aliases: list[str] | None = None
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    price_badge: PriceBadge | None = None
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False

    def validate(self) -> None:
        """Raise ``ValueError`` if an id is used twice. An input and an output may share one since ComfyUI 0.4."""
        inputs = [each.id for each in self.inputs or [] if not isinstance(each, DynamicInput)]
        issues = []
        for what, ids in (("Input", inputs), ("Output", [each.id for each in self.outputs or []])):
            double = [name for name, count in Counter(ids).items() if count > 1]
            if double:
                issues.append(f"{what} ids must be unique, but {double} are not.")
        if issues:
            raise ValueError("\n".join(issues))

    def finalize(self) -> None:
        """Add the hidden values that this kind of node needs, and ids for outputs that have none."""
        wanted: list[Hidden] = []
        if self.is_api_node:
            wanted += [Hidden.auth_token_comfy_org, Hidden.api_key_comfy_org, Hidden.comfy_usage_source]
        if self.is_output_node:
            wanted += [Hidden.prompt, Hidden.extra_pnginfo]
        if wanted:
            before = self.hidden or []
            self.hidden = [*before, *(member for member in wanted if member not in before)]
        for index, output in enumerate(self.outputs or []):
            if output.id is None:
                output.id = f"_{index}_{output.io_type}_"

    def declared(self) -> JsonObject:
        """The inputs in the form of ``/object_info``."""
        found = declared(self.inputs or [])
        for member in self.hidden or []:
            found.setdefault("hidden", {})[member.name] = (member.value,)
        return found

    def info(self, cls: type) -> JsonObject:
        """The entry of ``/object_info``."""
        inputs, outputs = self.declared(), self.outputs or []
        templates = [output.template.template_id if isinstance(output, MatchOutput) else None for output in outputs]
        return {
            "input": inputs,
            "input_order": {section: list(entries) for section, entries in inputs.items()},
            "is_input_list": self.is_input_list,
            "output": [output.io_type for output in outputs],
            "output_is_list": [output.is_output_list for output in outputs],
            "output_name": [output.display_name or output.io_type for output in outputs],
            "output_tooltips": [output.tooltip or None for output in outputs],
            "output_matchtypes": templates if any(templates) else None,
            "name": self.node_id,
            "display_name": self.display_name,
            "description": self.description,
            "python_module": getattr(cls, "RELATIVE_PYTHON_MODULE", None) or "nodes",
            "category": self.category,
            "output_node": self.is_output_node,
            "deprecated": self.is_deprecated,
            "experimental": self.is_experimental,
            "dev_only": self.is_dev_only,
            "api_node": self.is_api_node,
            "price_badge": self.price_badge.as_dict(self.inputs or []) if self.price_badge else None,
            "search_aliases": self.search_aliases or None,
            "essentials_category": self.essentials_category,
            "has_intermediate_output": self.has_intermediate_output,
        }


class UIOutput(ABC):
    """The UI part of a node's result."""

    @abstractmethod
    def as_dict(self) -> JsonObject:
        """The node's entry in the outputs of the history."""


class NodeOutput:
    """A node's result: values, a UI part, a graph to run instead, or the message that blocks execution."""

    def __init__(
        self,
        *args: Any,
        ui: UIOutput | JsonObject | None = None,
        expand: JsonObject | None = None,
        block_execution: str | None = None,
    ) -> None:
        self.args, self.ui, self.expand, self.block_execution = args, ui, expand, block_execution

    @classmethod
    def from_dict(cls, data: JsonObject) -> NodeOutput:
        """A result in the older schema's form."""
        from comfyui_emulator.runtime import ExecutionBlocker

        result = data.get("result", ())
        if isinstance(result, ExecutionBlocker):
            return cls(block_execution=result.message)
        return cls(*result, ui=data.get("ui"), expand=data.get("expand"))

    @property
    def result(self) -> tuple[Any, ...] | None:
        """The values, or ``None`` if there are none."""
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        """One value."""
        return self.args[index]


class ComfyNode:
    """Base class for nodes. Subclasses define :meth:`define_schema`, :meth:`execute`, and the other hooks they need."""

    RELATIVE_PYTHON_MODULE: ClassVar[str | None] = None
    SCHEMA: ClassVar[Schema | None] = None
    hidden: ClassVar[HiddenHolder | None] = None
    resources: ClassVar[Any] = None

    @classmethod
    def define_schema(cls) -> Schema:
        """Return the definition; called every time it is needed."""
        raise NotImplementedError

    @classmethod
    def execute(cls, **kwargs: Any) -> Any:
        """Run the node."""
        raise NotImplementedError

    @classmethod
    def validate_inputs(cls, **kwargs: Any) -> bool | str:
        """Return ``True``, or why the constants are invalid."""
        raise NotImplementedError

    @classmethod
    def fingerprint_inputs(cls, **kwargs: Any) -> Any:
        """Return a value that changes when the node has to run again."""
        raise NotImplementedError

    @classmethod
    def check_lazy_status(cls, **kwargs: Any) -> list[str]:
        """Return the names of the lazy inputs that are needed; by default all of them."""
        return [name for name, value in kwargs.items() if value is None]

    @classmethod
    def own(cls, name: str) -> Callable[..., Any] | None:
        """The method if a subclass overrides it, else ``None``."""
        method: Callable[..., Any] = getattr(cls, name)
        return None if method.__func__ is getattr(ComfyNode, name).__func__ else method  # type: ignore[attr-defined]

    @classmethod
    def FINALIZE_SCHEMA(cls) -> Schema:  # noqa: N802 - ComfyUI's name
        """The definition, evaluated now."""
        schema = cls.define_schema()
        schema.finalize()
        return schema

    @classmethod
    def GET_SCHEMA(cls) -> Schema:  # noqa: N802 - ComfyUI's name
        """The checked definition. Raises ``TypeError`` for an incomplete class, ``ValueError`` for duplicate ids."""
        for name in ("define_schema", "execute"):
            if cls.own(name) is None:
                raise TypeError(f"No {name} function was defined for node class {cls.__name__}.")
        schema = cls.FINALIZE_SCHEMA()
        schema.validate()
        cls.SCHEMA = schema
        return schema

    @classmethod
    def INPUT_TYPES(cls) -> JsonObject:  # noqa: N802 - ComfyUI's name
        """The inputs, evaluated now."""
        return cls.FINALIZE_SCHEMA().declared()

    @classmethod
    def GET_NODE_INFO_V1(cls) -> JsonObject:  # noqa: N802 - ComfyUI's name
        """The entry of ``/object_info``, evaluated now."""
        return cls.GET_SCHEMA().info(cls)


class _Locked(type):
    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"Cannot modify class attribute '{name}' on locked class '{cls.__name__}'")


def _called(cls: type[ComfyNode], hidden: JsonObject) -> type[ComfyNode]:
    """The class for one call. It has the hidden values, and is locked against changes that would outlive the call."""
    meta = type("_Locked", (_Locked, type(cls)), {}) if type(cls) is not type else _Locked
    return meta(f"{cls.__name__}Clone", (cls,), {"hidden": HiddenHolder(**hidden)})  # type: ignore[no-any-return]


_HIDDEN = "hidden:"
"""Prefix of hidden values among a call's arguments. The colon keeps them apart from the names of inputs."""


def _parted(arguments: JsonObject) -> tuple[JsonObject, JsonObject]:
    plain = {name: value for name, value in arguments.items() if not name.startswith(_HIDDEN)}
    hidden = {name.removeprefix(_HIDDEN): value for name, value in arguments.items() if name.startswith(_HIDDEN)}
    # If a node takes lists, its hidden values arrive in lists too.
    return plain, {name: value[0] if isinstance(value, list) else value for name, value in hidden.items()}


def _finished(value: Any, schema: Schema) -> JsonObject:
    """A node's return value in the older schema's form. Raises ``TypeError`` for types that ComfyUI rejects."""
    from comfyui_emulator.runtime import ExecutionBlocker

    if isinstance(value, ExecutionBlocker):
        value = NodeOutput(block_execution=value.message or "")
    if isinstance(value, tuple):
        value = NodeOutput(*value)
    if isinstance(value, dict):
        value = NodeOutput.from_dict(value)
    output = NodeOutput() if value is None else value
    if not isinstance(output, NodeOutput):
        raise TypeError(f"Invalid return type from node: {type(output)}; io.NodeOutput was expected")
    if output.expand is not None and not schema.enable_expand:
        raise ValueError(f"Node {schema.node_id} is not expandable: its schema needs enable_expand=True")
    # In ComfyUI a message without values blocks nothing: linked nodes get no value.
    result: JsonObject = {"result": output.args} if output.args or output.expand is not None else {}
    if output.block_execution is not None and result:
        result["result"] = (ExecutionBlocker(output.block_execution),) * len(schema.outputs or [])
    if output.ui is not None:
        result["ui"] = output.ui if isinstance(output.ui, dict) else output.ui.as_dict()
    if output.expand is not None:
        result["expand"] = output.expand
    return result


def adapted(cls: type[ComfyNode]) -> tuple[str, type, str | None]:
    """The id, older-style class and display name for a node class of the newer schema."""
    schema = cls.GET_SCHEMA()

    def run(_self: object, **arguments: Any) -> JsonObject:
        plain, hidden = _parted(arguments)
        return _finished(_called(cls, hidden).execute(**plain), schema)

    async def run_async(_self: object, **arguments: Any) -> JsonObject:
        plain, hidden = _parted(arguments)
        return _finished(await _called(cls, hidden).execute(**plain), schema)

    outputs = schema.outputs or []
    members: JsonObject = {
        "INPUT_TYPES": cls.INPUT_TYPES,
        "NODE_INFO": cls.GET_NODE_INFO_V1,
        "RETURN_TYPES": [output.io_type for output in outputs],
        "OUTPUT_IS_LIST": tuple(output.is_output_list for output in outputs),
        "OUTPUT_NODE": schema.is_output_node,
        "INPUT_IS_LIST": schema.is_input_list,
        "NOT_IDEMPOTENT": schema.not_idempotent,
        "ACCEPT_ALL_INPUTS": schema.accept_all_inputs,
        "HAS_INTERMEDIATE_OUTPUT": schema.has_intermediate_output,
        "SCHEMA_V3": True,
        "HIDDEN_PREFIX": _HIDDEN,
        "FUNCTION": "run",
        "run": run_async if inspect.iscoroutinefunction(cls.execute) else run,
    }
    if (validate := cls.own("validate_inputs")) is not None:
        members["VALIDATE_INPUTS"] = staticmethod(functools.wraps(validate)(_hook(cls, "validate_inputs")))
    if cls.own("fingerprint_inputs") is not None:
        # ComfyUI passes no hidden values to this hook.
        members["IS_CHANGED"] = staticmethod(_hook(cls, "fingerprint_inputs", hidden=False))
    if cls.own("check_lazy_status") is not None:
        members["check_lazy_status"] = staticmethod(_hook(cls, "check_lazy_status"))
    return schema.node_id, type(cls.__name__, (), members), schema.display_name


def _hook(cls: type[ComfyNode], name: str, *, hidden: bool = True) -> Callable[..., Any]:
    """An older-style hook. A coroutine function stays one. With ``hidden`` it gets the hidden values."""

    def call(**arguments: Any) -> Any:
        plain, hidden_values = _parted(arguments)
        return getattr(_called(cls, hidden_values if hidden else {}), name)(**plain)

    async def call_async(**arguments: Any) -> Any:
        return await call(**arguments)

    return call_async if inspect.iscoroutinefunction(getattr(cls, name)) else call
