"""The places in a workflow where one value of a widget is saved. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.input_values import BOX


@dataclass(frozen=True, slots=True)
class WidgetPlace:
    """Where a value is saved: the node, and its position in the node's list (or its key in the node's object).

    ``promoted``: the node is a subgraph's, which shows a widget of a node inside. ``defaults`` is the whole list of a
    new node, if the saved list may be too short.
    """

    owner: JsonObject
    position: Any
    name: str
    promoted: bool = False
    defaults: tuple[Any, ...] = ()

    def read(self) -> Any:
        """The saved value; of an absent one, the default."""
        values = self.owner.get("widgets_values")
        if isinstance(values, dict):
            return values[self.position]
        return values[self.position] if values and self.position < len(values) else self.defaults[self.position]

    def write(self, value: Any, kind: str) -> None:
        """Replace it, also where the same value is saved once more: by name, or a box's numbers behind the box."""
        if self.owner.get("widgets_values") is None:
            self.owner["widgets_values"] = []
        values = self.owner["widgets_values"]
        if isinstance(values, list):
            values.extend(self.defaults[len(values) : self.position + 1])
        values[self.position] = value
        named = self.owner.get("widgets_values_named")
        if isinstance(named, dict) and self.name in named:
            named[self.name] = value
        # What stands behind a promoted box is the next promoted widget.
        if kind == "BOUNDING_BOX" and isinstance(values, list) and not self.promoted:
            numbers = [value[side] for side in BOX]
            values[self.position + 1 : self.position + 1 + len(BOX)] = numbers


@dataclass(frozen=True, slots=True)
class KeptPlace:
    """A value that a migrated subgraph's node keeps beside its list, for an input; it counts before the list."""

    entry: JsonObject

    def read(self) -> Any:
        """The saved value."""
        return self.entry["hostValue"]

    def write(self, value: Any, kind: str) -> None:
        """Replace it."""
        self.entry["hostValue"] = value


Place = WidgetPlace | KeptPlace


@dataclass(frozen=True, slots=True)
class WidgetSource:
    """One value: all its places, of which the last counts in the newest frontends, and the input that declares it.

    ``reaches`` are the inputs that get the value, if they are others; ``primitive`` is the PrimitiveNode that holds it.
    """

    places: tuple[Place, ...]
    node_id: str
    name: str
    reaches: tuple[tuple[str, str], ...] = ()
    primitive: str = ""
