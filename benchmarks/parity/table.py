"""The report: a table by node, as text and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.parity.comparing import Row, total

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "emulator-parity.md"

_HEAD = """# The emulator against ComfyUI

Made by `python -m benchmarks.parity --comfyui PATH --write`: the same prompts in the same order on the emulator and on
ComfyUI {version}, and what differs.
"""

_NODES = """
## Outputs, node by node

A case is one prompt. *Equal* are those whose outputs are the same in every pixel, value or letter; the largest
difference is in levels of 255 (latents: in thousandths). Where both servers refuse or fail in the same way, that counts
as equal.
"""


def table(rows: Mapping[str, Row], head: str = "node", worst: str = "largest difference") -> str:
    """The rows as a Markdown table, the sum last."""
    width = max(len(name) for name in [*rows, head])
    lines = [
        f"| {head:<{width}} | cases | equal | {worst} |",
        f"|{'-' * (width + 2)}|------:|------:|{'-' * len(worst)}-:|",
    ]
    for name, row in [*sorted(rows.items()), ("all", total(rows.values()))]:
        lines.append(f"| {name:<{width}} | {row.cases:>5} | {row.equal:>5} | {row.largest:>{len(worst)}} |")
    return "\n".join(lines)


def page(version: str, nodes: Mapping[str, Row]) -> str:
    """The page of the documentation."""
    return f"{_HEAD.format(version=version)}{_NODES}\n{table(nodes)}\n"
