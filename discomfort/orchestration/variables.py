"""Variables of a run: their values as one snapshot of a context has them, and the recipes among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort._system.concurrency import finish, to_thread
from discomfort.orchestration.steps import Conversions, OpenRecipe
from discomfort.workflow.references import Reference


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

    def __contains__(self, unique_id: str) -> bool:
        return unique_id in self.values or unique_id in self.recipes


async def read_variables(
    unique_ids: Iterable[str],
    load: Callable[[str], StoredValue | None],
    conversions: Conversions,
    definitions: Mapping[str, Any],
) -> Variables:
    """The values of these ids, as far as ``load``, which is called in a thread, has them.

    Raises PortError or a conversion's error for a stored recipe that cannot be used.
    """
    found = Variables()
    waiting, seen = list(dict.fromkeys(unique_ids)), set[str]()
    while waiting:
        seen.update(waiting)
        batch, waiting = waiting, []
        for unique_id, stored in await finish(to_thread(_loaded, batch, load)):
            if stored.is_reference and not isinstance(stored.value, Reference):
                recipe = await conversions.recipe(unique_id, stored.value, definitions)
                found.recipes[unique_id] = recipe
                waiting += [each for each in recipe.ports.inputs() if each not in seen and each not in waiting]
            else:
                found.values[unique_id] = stored.value
    return found


def _loaded(unique_ids: Iterable[str], load: Callable[[str], StoredValue | None]) -> list[tuple[str, StoredValue]]:
    pairs = [(unique_id, load(unique_id)) for unique_id in unique_ids]
    return [(unique_id, stored) for unique_id, stored in pairs if stored is not None]
