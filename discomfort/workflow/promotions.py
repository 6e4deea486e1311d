"""Widgets that a subgraph's node shows in place of those inside: its ``proxyWidgets``. Pure.

Frontend 1.27.10 ignores the values that such a node has for them, and takes those inside; 1.49.6 and 1.58.1 take the
node's own, and those inside only where it has none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from discomfort._json import JsonObject
from discomfort.workflow.widgets import saved_widget_names

OF_AN_INPUT = "-1"
"""In place of a node's id: the widget belongs to an input of the subgraph."""


@dataclass(frozen=True, slots=True)
class Promotions:
    """What one subgraph's node shows: the id and widget of each, in the order of the node's values.

    ``certain`` says whether its values can be told apart.
    """

    entries: tuple[tuple[str, str], ...] = ()
    values: list[object] = field(default_factory=list)
    certain: bool = True

    def position(self, node_id: str, name: str) -> int | None:
        """The position among the node's values, if it has one for this widget."""
        entry = (node_id, name)
        at = self.entries.index(entry) if entry in self.entries else len(self.values)
        return at if at < len(self.values) else None

    def inside(self, name: str) -> str | None:
        """The id of the one node inside whose widget of that name is shown."""
        found = [node_id for node_id, widget in self.entries if widget == name]
        return found[0] if len(found) == 1 and found[0] != OF_AN_INPUT else None


def promotions(host: JsonObject, inside: Collection[str]) -> Promotions:
    """What a subgraph's node shows; ``inside`` has the ids of the nodes in the subgraph."""
    properties = host.get("properties")
    given = properties.get("proxyWidgets") if isinstance(properties, dict) else None
    listed = given if isinstance(given, list) else []
    entries = tuple((str(each[0]), str(each[1])) for each in listed if isinstance(each, list) and len(each) == 2)
    values = host.get("widgets_values")
    kept = values if isinstance(values, list) else []
    # The inputs' own widgets come first, unless they are listed; what cannot be found may or may not take a place.
    whole = len(entries) == len(listed) == len(set(entries)) and len(kept) <= len(entries)
    inputs = all((OF_AN_INPUT, name) in entries for name in saved_widget_names(host))
    return Promotions(entries, kept, whole and inputs and {each[0] for each in entries} <= {*inside, OF_AN_INPUT})
