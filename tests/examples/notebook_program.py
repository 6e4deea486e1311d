"""Runs a notebook's cells in IPython: each twice in a row, and then all of it once more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell

cells = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["cells"]
shell = InteractiveShell.instance()
for _ in range(2):
    for number, cell in enumerate(cells):
        for _ in range(2 if cell["cell_type"] == "code" else 0):
            outcome = shell.run_cell("".join(cell["source"]), store_history=True)
            outcome.raise_error()
            formatted, _ = shell.display_formatter.format(outcome.result)
            sys.stdout.write(f"ran {number} {formatted.get('text/html', '')[:80]}\n")
