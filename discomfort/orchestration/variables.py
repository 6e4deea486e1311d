"""Variables of a run: their values as one snapshot of a context has them, and the recipes among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from discomfort._system.concurrency import in_pool
from discomfort.context.run_view import RunView
from discomfort.orchestration.steps import Conversions, OpenRecipe
from discomfort.workflow.pass_by import BY_REFERENCE
from discomfort.workflow.references import Reference

_PLAIN = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value, and whether it was saved by reference."""

    value: Any
    is_reference: bool


@dataclass(slots=True)
class Variables:
    """Values by id. An id of ``recipes`` has a workflow that makes the value, whose own variables are here too."""

    values: dict[str, Any] = field(default_factory=dict)
    recipes: dict[str, OpenRecipe] = field(default_factory=dict)

    @property
    def are_plain(self) -> bool:
        """Whether there are only numbers and texts, which need no file."""
        return not self.recipes and all(each is None or type(each) in _PLAIN for each in self.values.values())

    def __contains__(self, unique_id: str) -> bool:
        return unique_id in self.values or unique_id in self.recipes


async def read_variables(
    unique_ids: Iterable[str],
    view: RunView,
    conversions: Conversions,
    definitions: Mapping[str, Any],
) -> Variables:
    """The values of these ids, as far as the view has them.

    Raises PortError or a conversion's error for a stored recipe that cannot be used.
    """
    found = Variables()
    waiting, seen = list(dict.fromkeys(unique_ids)), set[str]()
    while waiting:
        seen.update(waiting)
        batch, waiting = waiting, []
        loaded = await in_pool(partial(_loaded, batch, view), is_quick=view.is_inline(batch))
        for unique_id, stored in loaded:
            if stored.is_reference and not isinstance(stored.value, Reference):
                recipe = await conversions.recipe(unique_id, stored.value, definitions)
                found.recipes[unique_id] = recipe
                waiting += [each for each in recipe.ports.inputs() if each not in seen and each not in waiting]
            else:
                found.values[unique_id] = stored.value
    return found


def _loaded(unique_ids: Iterable[str], view: RunView) -> list[tuple[str, StoredValue]]:
    pairs = [(unique_id, stored_value(view, unique_id)) for unique_id in unique_ids]
    return [(unique_id, stored) for unique_id, stored in pairs if stored is not None]


def stored_value(view: RunView, unique_id: str) -> StoredValue | None:
    """A value that a view has written, else that of its snapshot. Blocking; raises DamagedDataError."""
    record = view.staged.get(unique_id) or view.records.get(unique_id)
    return None if record is None else StoredValue(view.value_of(record), record.pass_by == BY_REFERENCE)
