"""References: values that stay in the server, as the nodes that make them. Pure.

The nodes have ids made of their content, so references that overlap share nodes when they are merged into a prompt, and
a server finds in its cache what it made before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, NoReturn, Self

from discomfort import _json
from discomfort._json import JsonObject, copied
from discomfort.exceptions import PayloadError, PortError, WorkflowCycleError
from discomfort.workflow.compilation import Recipe, ancestors
from discomfort.workflow.detect import unwrap
from discomfort.workflow.json_values import describe, is_link, json_problem
from discomfort.workflow.port_types import ANY
from discomfort.workflow.prompt_ports import NodeOutput
from discomfort.workflow.workflow_ports import PORT

_MARK = "discomfort_reference"
_FORMAT = 1
_KEYS = frozenset({_MARK, "type", "unique_id", "output", "prompt", "blobs"})
_ID_DIGITS = 20


class Reference(dict[str, Any]):
    """A value by reference: a prompt without ports, and the output at which the value is.

    It is JSON, so it can be saved, printed and sent; :meth:`read` makes it again. It cannot be changed, and what is
    read from it is a copy. ``unique_id`` is the variable's name when it was made, ``type`` that of the value (``ANY``:
    unknown), ``blobs`` are the names of stored values that its nodes load.

    Raises PayloadError, PortError or WorkflowCycleError (each a ValueError) if the prompt does not make the value by
    itself.
    """

    def __init__(
        self,
        prompt: Mapping[str, Any],
        output: NodeOutput,
        *,
        unique_id: str = "",
        type: str = ANY,  # noqa: A002 - the word of the field
        blobs: Iterable[str] = (),
    ) -> None:
        problem = json_problem(dict(prompt))
        if problem:
            raise PayloadError(f"a reference holds JSON: {problem}")
        kept: JsonObject = copied(prompt)
        kind, _ = unwrap(kept)
        if kind != "prompt" or "prompt" in kept:
            raise PayloadError("a reference holds a prompt (API format): nodes by id")
        needed = _checked(kept, output)
        fields = {"type": type, "unique_id": unique_id, "output": list(output), "prompt": needed, "blobs": list(blobs)}
        super().__init__({_MARK: _FORMAT, **fields})

    @classmethod
    def read(cls, value: Any) -> Self:
        """The reference in a JSON value. Raises PayloadError for another value, or another format."""
        if not is_reference(value):
            raise PayloadError(f"not a reference: {describe(value)}")
        if value[_MARK] != _FORMAT:
            known = f"this version reads format {_FORMAT}"
            raise PayloadError(f"a reference of the unknown format {str(value[_MARK])[:40]!r}: {known}")
        missing = sorted(_KEYS - set(value))
        output, blobs = value.get("output"), value.get("blobs")
        if missing or not isinstance(value["prompt"], Mapping) or not is_link(output) or not isinstance(blobs, list):
            raise PayloadError(
                f"a damaged reference: {', '.join(missing) or 'prompt, output or blobs'} is not as it must be"
            )
        names = {key: str(value[key]) for key in ("unique_id", "type")}
        return cls(value["prompt"], (output[0], int(output[1])), blobs=map(str, blobs), **names)

    @property
    def type(self) -> str:
        """The type of the value."""
        return str(super().__getitem__("type"))

    @property
    def unique_id(self) -> str:
        """The variable that it was made for."""
        return str(super().__getitem__("unique_id"))

    @property
    def blobs(self) -> tuple[str, ...]:
        """The names of the stored values that its nodes load."""
        return tuple(super().__getitem__("blobs"))

    @property
    def recipe(self) -> Recipe:
        """What an INPUT port is bound to; the nodes are copies."""
        node_id, slot = super().__getitem__("output")
        return Recipe(self["prompt"], (node_id, slot), self.type)

    def __getitem__(self, key: str) -> Any:
        return copied(super().__getitem__(key))

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dict; a copy."""
        return copied(super().get(key, default))

    def values(self) -> Any:
        """As of a dict; copies."""
        return dict(self.items()).values()

    def items(self) -> Any:
        """As of a dict; copies."""
        return {key: self[key] for key in self}.items()

    # With its own iterator, dict(reference) goes through __getitem__ and shares nothing either.
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def copy(self) -> dict[str, Any]:
        """A plain dict that may be changed."""
        return dict(self.items())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).read, (dict(self.items()),)

    def __repr__(self) -> str:
        count = len(super().__getitem__("prompt"))
        return f"<Reference {self.unique_id!r} ({self.type}): {count} node{'' if count == 1 else 's'}>"

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a reference cannot be changed")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse


def is_reference(value: Any) -> bool:
    """Whether a value says that it is a reference, in any format."""
    return isinstance(value, Mapping) and _MARK in value


def with_content_ids(
    prompt: Mapping[str, Any], outputs: Iterable[NodeOutput], origin: str, fixed: Collection[str] = ()
) -> tuple[JsonObject, dict[str, str]]:
    """A copy of a prompt in which each node that these outputs need has an id made of its content.

    The id is made of the node's class, its inputs with all that they need, its old id, and ``origin``, which names the
    workflow. So it is the same whenever these are, and nodes that are equal but separate stay separate. Nodes in
    ``fixed`` keep their ids, which come from references. The old id and the origin stay in ``_meta``.

    Also returns the new ids by the old ones. Raises PortError for a link to a node that is not there,
    WorkflowCycleError for a circle.
    """
    needed: dict[str, Any] = {}
    for output in outputs:
        needed |= ancestors(prompt, output)
    names: dict[str, str] = {node_id: node_id for node_id in fixed}
    for node_id in _in_order(needed):
        if node_id not in names:
            node = needed[node_id]
            content = [origin, node_id, node["class_type"], _renamed(node["inputs"], names)]
            digest = hashlib.sha256(_json.dumps(_sorted(content))).hexdigest()
            names[node_id] = f"r{digest[:_ID_DIGITS]}"
    made: JsonObject = {}
    for node_id, node in prompt.items():
        new = copied({key: value for key, value in node.items() if key != "inputs"})
        new["inputs"] = _renamed(node["inputs"], names)
        if names.get(node_id, node_id) != node_id:
            new["_meta"] = {**(new.get("_meta") or {}), "origin": {"workflow": origin, "node_id": node_id}}
        made[names.get(node_id, node_id)] = new
    return made, {old: new for old, new in names.items() if old in needed}


def _checked(prompt: JsonObject, output: NodeOutput) -> JsonObject:
    """The nodes that make the value. Raises PortError, WorkflowCycleError."""
    needed = ancestors(prompt, output)
    ports = [node_id for node_id, node in needed.items() if node["class_type"] == PORT]
    if ports:
        raise PortError(f"a reference has no ports, but node {', '.join(ports)} is one: bind it first")
    _in_order(needed)
    return needed


def _in_order(nodes: Mapping[str, Any]) -> list[str]:
    feeders = {key: {value[0] for value in node["inputs"].values() if is_link(value)} for key, node in nodes.items()}
    try:
        return list(TopologicalSorter(feeders).static_order())
    except CycleError as error:
        raise WorkflowCycleError(error.args[1][:-1]) from None


def _renamed(inputs: Mapping[str, Any], names: Mapping[str, str]) -> JsonObject:
    return {
        name: [names.get(value[0], value[0]), value[1]] if is_link(value) else copied(value)
        for name, value in inputs.items()
    }


def _sorted(value: Any) -> Any:
    """The value with the keys of each object in order, so that equal values give equal bytes."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
