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

_SEQUENCES = """
## Messages, scenario by scenario

Clients connect, prompts are queued, interrupted, deleted, refused, cached, expanded. A case is what one client was sent
over its socket (types, data and binary frames in their order), the number of its `status` messages, or all answers and
history records of the scenario. Times and server-made ids are not compared; of a traceback it is compared that it has
Python's form, and its last frame where that is in a node that both servers load.
"""

_BODIES = """
## Wrong prompts

A case is one body of `POST /prompt`: status and answer are compared, and where both servers accept it, the record of
its run. What ends ComfyUI's execution thread or its process is not among them.
"""

_ROUTES = """
## Requests

A case is one request to fresh servers: status, the headers that matter and, where it can be the same, the body.
"""

_RANDOM = """
## Random prompts

Graphs made by Hypothesis, valid and invalid, each run twice; answers, messages, records and pictures (up to one level)
are compared.
"""

_OPTIONS = """
## Other command lines

Both servers are started again with the same options of ComfyUI's. A case is one request (headers and decoded body), or
under *messages* what one client was sent in a scenario, or its answers and records.
"""

_EVICTION = """
## The history beyond its limit

A case is one page or record of the history after so many prompts.
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


def differences(rows: Mapping[str, Row], head: str) -> str:
    """The rows of what is either equal or not."""
    width = max(len(name) for name in [*rows, head])
    lines = [f"| {head:<{width}} | cases | equal |", f"|{'-' * (width + 2)}|------:|------:|"]
    lines += [f"| {name:<{width}} | {row.cases:>5} | {row.equal:>5} |" for name, row in rows.items()]
    everything = total(rows.values())
    return "\n".join([*lines, f"| {'all':<{width}} | {everything.cases:>5} | {everything.equal:>5} |"])


def page(version: str, parts: Mapping[str, Mapping[str, Row]]) -> str:
    """The page of the documentation, of all parts."""
    texts = [_HEAD.format(version=version)]
    texts += [f"{_NODES}\n{table(parts['nodes'])}\n", f"{_SEQUENCES}\n{differences(parts['messages'], 'scenario')}\n"]
    texts.append(f"{_BODIES}\n{differences(parts['bodies'], 'what is wrong')}\n")
    texts.append(f"{_ROUTES}\n{differences(parts['routes'], 'requests')}\n")
    texts.append(f"{_RANDOM}\n{differences(parts['random'], 'graphs')}\n")
    for name, text in (("options", _OPTIONS), ("eviction", _EVICTION)):
        if name in parts:
            texts.append(f"{text}\n{differences(parts[name], name)}\n")
    return "".join(texts)
