"""The result of calling a workflow: its outputs by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discomfort.client.outputs import Output
from discomfort.exceptions import DamagedDataError
from discomfort.functions.output_files import saved_in
from discomfort.functions.result_face import ResultFace
from discomfort.functions.typed_outputs import CLASSES, SavedItems, chosen
from discomfort.workflow.interface.declarations import InterfaceOutput

if TYPE_CHECKING:
    from discomfort.functions.prompt_filling import FilledPrompt


class CallResult(ResultFace[SavedItems]):
    """What a call of a workflow gave, as typed objects: ``result.image``, or ``result["image"]``.

    A name that this class has itself, such as ``history``, is reached by key only. Iterating gives the names.
    """

    @property
    def outputs(self) -> list[Output]:
        """Every item that any node returned, named or not."""
        return self._run.outputs

    async def save(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Save all named outputs into a folder, as each one's ``save`` does, and return the paths."""
        folder = Path(directory)
        return [path for items in self._named.values() for path in await saved_in(folder, items.outputs, items.name)]


def named_outputs(
    declared: Mapping[str, InterfaceOutput], filled: FilledPrompt, outputs: list[Output]
) -> dict[str, SavedItems]:
    """The typed outputs of a run. Raises DamagedDataError if a server shows a number as something else."""
    found: dict[str, SavedItems] = {}
    for name, output in declared.items():
        node_id = filled.nodes.get(name, "")
        own = [each for each in outputs if node_id and _is_of(each, node_id)]
        collector = filled.collectors.get(name)
        if collector is not None and collector.kind in ("number", "text"):
            own = [replace(each, value=_shown(name, each, collector)) for each in own if each.key == "text"]
        class_name, items = chosen(output.type, own)
        made: SavedItems = CLASSES[class_name](name, output.type, items)
        found[name] = made
    return found


def _is_of(output: Output, node_id: str) -> bool:
    # A node that was expanded shows what its inner nodes returned, as "5.0.1".
    return output.node_id == node_id or output.node_id.startswith(f"{node_id}.")


def _shown(name: str, output: Output, collector: Any) -> Any:
    try:
        return collector.shown_value(output.value)
    except DamagedDataError as error:
        raise DamagedDataError(f"the output {name!r}: {error.problem}") from error
