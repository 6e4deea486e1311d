"""Results of a call of ``Discomfort.run``."""

from __future__ import annotations

from typing import Any

from discomfort.history import History


class Results(dict[str, Any]):
    """The values of the OUTPUT ports by their ``unique_id``; ``histories`` has that of each workflow that ran.

    A history is what ``Worker.run_workflow`` returns, in the order of the runs: ``Worker.outputs(history)`` gives what
    other nodes saved.
    """

    histories: list[History]

    def __init__(self) -> None:
        super().__init__()
        self.histories = []
