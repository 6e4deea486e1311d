"""The result of ``ComfyConnector.run``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from discomfort.client.notebook import as_html
from discomfort.client.outputs import Output
from discomfort.history import History


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a run. ``seconds`` is how long it took, from call to end; ``history`` is ComfyUI's record."""

    prompt_id: str
    outputs: list[Output]
    seconds: float
    history: History = field(repr=False)

    @property
    def images(self) -> list[Output]:
        """The outputs that are still pictures, previews included."""
        return [output for output in self.outputs if output.kind == "image"]

    @property
    def files(self) -> list[Output]:
        """The outputs that are files of any kind."""
        return [output for output in self.outputs if output.filename is not None]

    async def save(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Save every file into ``directory``, as :meth:`Output.save` does, and return the paths in order."""
        return [await output.save(directory) for output in self.files]

    def _repr_html_(self) -> str:
        """Shows the outputs in a notebook, as :class:`Output` does."""
        return as_html(self.outputs)
