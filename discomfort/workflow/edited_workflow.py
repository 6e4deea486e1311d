"""A workflow that knows what an editor has set in it, so that its conversion can be checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject, copied


@dataclass(frozen=True, slots=True)
class WidgetSet:
    """One value that was set: by which selector, and the input that it names, with the workflow's own node id.

    ``deferred``: its place in the workflow is uncertain, so it is set on the prompt.
    """

    selector: str
    node_id: str
    name: str
    value: Any
    deferred: bool = False


def ordered(sets: Iterable[WidgetSet]) -> list[WidgetSet]:
    """These sets, an input that depends on another value after that value."""
    return sorted(sets, key=lambda one: one.name.count("."))


class EditedWorkflow(dict[str, Any]):
    """A workflow as an editor left it, with its record.

    ``sets`` has the values in their order, ``original`` the workflow before the first. Neither is part of the JSON:
    what is read back from a file is a workflow like any other.
    """

    sets: tuple[WidgetSet, ...] = ()
    original: JsonObject | None = None

    def record(self, new: WidgetSet) -> None:
        """Add a set, in place of an earlier one of the same input."""
        kept = (old for old in self.sets if (old.node_id, old.name) != (new.node_id, new.name))
        self.sets = (*kept, new)

    def copy(self) -> EditedWorkflow:
        """A copy that shares nothing."""
        made = EditedWorkflow(copied(self))
        made.sets = tuple(WidgetSet(one.selector, one.node_id, one.name, copied(one.value), one.deferred)
                          for one in self.sets)  # fmt: skip
        made.original = copied(self.original)
        return made
