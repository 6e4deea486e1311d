"""Uploads and prompt of one call, in the time of its run: the files first, then the prompt that names them."""

from __future__ import annotations

from discomfort.connector.payloads import Payload
from discomfort.exceptions import ArgumentProblem, CallError
from discomfort.functions.bound_call import BoundCall
from discomfort.functions.call_files import BroughtFiles
from discomfort.functions.host import FunctionHost
from discomfort.functions.prompt_filling import FilledPrompt, filled_prompt
from discomfort.functions.value_checks import ValueTrouble


class CallFilling:
    """Fills the prompt of one call. ``filled`` is there once :meth:`fill` has returned."""

    def __init__(self, call: BoundCall, host: FunctionHost, function: str) -> None:
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
