"""The prompt of a workflow that an editor has changed: every value is in it, or it is an error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort._system.concurrency import to_thread
from discomfort.exceptions import InputSelectorError
from discomfort.workflow.edit import Editor
from discomfort.workflow.edited_workflow import EditedWorkflow, ordered
from discomfort.workflow.set_arrival import SetArrival

_log = logging.getLogger("discomfort.connector")


async def with_sets(
    edited: EditedWorkflow,
    convert: Callable[[JsonObject], Awaitable[JsonObject]],
    definitions: Callable[[], Awaitable[Mapping[str, Any]]],
) -> JsonObject:
    """The prompt with every value that was set.

    The edited workflow is converted and compared. If a value is not there, or other widgets of its node are elsewhere
    than the editor found them, the workflow as it was before is converted too, and the values are set on that prompt:
    then nothing was written into another slot. Raises InputSelectorError where neither is exact.
    """
    made, known = await convert(dict(edited)), await definitions()
    arrival = await to_thread(SetArrival, edited, made, known)
    if arrival.is_proven:
        return arrival.prompt()
    if edited.original is None or not await to_thread(_is_untouched, edited, known):
        arrival.refuse()
        return arrival.prompt()
    base = await convert(edited.original or {})
    _log.info("the widgets of an edited workflow are not where its classes have them; its values are set on the prompt")
    return arrival.prompt(base)


def _is_untouched(edited: EditedWorkflow, definitions: Mapping[str, Any]) -> bool:
    """Whether the workflow is its original with these values, and nobody has changed it by hand since."""
    editor = Editor(edited.original or {}, definitions)
    try:
        for one in ordered(edited.sets):
            (editor.set_or_defer if one.deferred else editor.set)(f"#{one.node_id}.{one.name}", one.value)
    except InputSelectorError:
        return False
    return dict(editor.payload) == dict(edited)
