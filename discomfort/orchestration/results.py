"""Results of a call of ``Discomfort.run``."""

from __future__ import annotations

from typing import Any

from discomfort.history import History
from discomfort.workflow.references import Reference

_SHORT = 40
"""Characters of a text in the representation."""


class Results(dict[str, Any]):
    """The values of the OUTPUT ports by their ``unique_id``; ``histories`` has that of each workflow that ran.

    A history is what ``Worker.run_workflow`` returns, in the order of the runs: ``Worker.outputs(history)`` gives what
    other nodes saved. ``repr`` shows what each value is, not its data.
    """

    histories: list[History]

    def __init__(self) -> None:
        super().__init__()
        self.histories = []

    def __repr__(self) -> str:
        values = ", ".join(f"{unique_id}: {_shown(value)}" for unique_id, value in self.items())
        count = len(self.histories)
        return f"<Results {values or 'of no port'}; {count} workflow{'' if count == 1 else 's'} ran>"


def _shown(value: Any) -> str:
    """What a value is, in a few words."""
    if value is None or isinstance(value, bool | int | float | Reference):
        return repr(value)
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHORT else f"{value[:_SHORT]!r}…"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} [{', '.join(map(str, value.shape))}]"
    if isinstance(value, dict):
        return f"{type(value).__name__} of {', '.join(map(str, value))}"[:_SHORT]
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__
