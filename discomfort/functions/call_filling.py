"""Uploads and prompt of one call, in the time of its run: the files first, then the prompt that names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort.connector.payloads import Payload
from discomfort.exceptions import ArgumentProblem, CallError, InputSelectorError
from discomfort.functions.bound_call import BoundCall, sent_values
from discomfort.functions.call_files import BroughtFiles
from discomfort.functions.host import FileHost
from discomfort.functions.prompt_filling import FilledPrompt, filled_prompt
from discomfort.functions.value_checks import ValueTrouble
from discomfort.workflow.edit import Editor


class CallFilling:
    """Fills the prompt of one call. ``filled`` is there once :meth:`fill` has returned."""

    def __init__(self, call: BoundCall, host: FileHost, function: str) -> None:
        """``function`` is its name, for errors."""
        self._call, self._files, self._function = call, BroughtFiles(host), function
        self.filled: FilledPrompt | None = None

    async def fill(self, payload: Payload) -> Payload:
        """The prompt to run, with the files of the call on the server. Raises CallError, OSError, ServerError."""
        places: dict[str, dict[str, str]] = {}
        for name, delivery in self._call.deliveries.items():
            brought = places[name] = {}
            self._files.subfolder = delivery.subfolder
            for key, file in delivery.files.items():
                try:
                    brought[key] = await file.bring(self._files)
                except ValueTrouble as trouble:
                    raise CallError(self._function, [ArgumentProblem(name, trouble.problem)]) from trouble.__cause__
        self.filled = filled_prompt(self._call, places)
        return self.filled.prompt

    async def take_back(self) -> None:
        """Discards the uploads."""
        await self._files.discard()


def extra_data_of(call: BoundCall, given: Mapping[str, Any]) -> dict[str, Any]:
    """Extra data with the workflow, which has the values of the call as far as its widgets can, for saved pictures."""
    extra = dict(given)
    workflow = call.workflow.workflow
    if workflow is None:
        return extra
    editor = Editor(workflow, call.workflow.definitions)
    for selector, value in editor.in_order(sent_values(call)).items():
        try:
            editor.set(selector, value)
        except InputSelectorError:
            continue
    extra["extra_pnginfo"] = {"workflow": editor.payload, **(extra.get("extra_pnginfo") or {})}
    return extra
