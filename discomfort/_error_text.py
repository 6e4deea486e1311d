"""Helpers that build the texts of errors."""

from __future__ import annotations

from collections.abc import Sequence


def joined(parts: Sequence[object], separator: str = "; ", limit: int = 20) -> str:
    """The first ``limit`` parts joined, and the number of the others."""
    shown = separator.join(map(str, parts[:limit]))
    return shown if len(parts) <= limit else f"{shown}{separator}and {len(parts) - limit} more"


def log_lines(lines: Sequence[str], count: int = 15) -> str:
    """The last ``count`` lines of a log, to append to a text."""
    return "" if not lines else "\nlast log lines:\n" + "\n".join(f"  {line}" for line in lines[-count:])


def place(node_id: str, class_type: str | None, title: str | None, input_name: str | None = None) -> str:
    """A node, and perhaps its input, as shown to users."""
    name = title or class_type or "?"
    kind = f" ({class_type})" if class_type and class_type != name else ""
    return f"node {node_id} {name!r}{kind}" + (f" input {input_name!r}" if input_name is not None else "")


def story(deaths: Sequence[BaseException]) -> str:
    """Several deaths of a server, numbered, each with the end of its log."""
    lines = []
    for number, death in enumerate(deaths, 1):
        lines.append(f"\n{number}. {getattr(death, 'problem', '') or str(death)[:300]}")
        lines.extend(f"\n     {line}" for line in tuple(getattr(death, "log_tail", ()))[-5:])
    return "".join(lines)
