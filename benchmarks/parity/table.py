"""The report: a table by node, as text and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.parity.cases import without_case
from benchmarks.parity.comparing import Row, total

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "emulator-parity.md"

_HEAD = """# The emulator against ComfyUI

Made by `python -m benchmarks.parity --comfyui PATH --write`: the same prompts in the same order on the emulator and on
ComfyUI {version}, and what differs. The order in which ComfyUI runs outputs is that of a set of strings, another one
after each start. The emulator runs them in the order of the prompt. So that both do the same, ComfyUI is started with a
known hash seed, and the outputs of each prompt are put into the order that its set will have.
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

_VALUES = """
## Wrong values inside of nodes

A case is one prompt that validation lets pass: of every node, one input after the other is a constant where a link
belongs, an array of another shape, a number at its limit, an odd text; files that are none, places to save to that are
outside of the folder, values that do not go together. *Equal* are those that end alike: with the same outputs, or with
the same `execution_error`, its `exception_type` and `exception_message` included, but for the server's folders, the
time, and arrays that are quoted as inputs. Most of these texts are torch's, and are derived from the shapes.
"""

_WORDS = """
### Equal but for the text of a library

The same node fails with the same data, in other words: the text is torch's, Pillow's or Python's own, and tells of how
ComfyUI's node is written rather than of what is wrong.
"""

_APART = """
### Not equal

What differs in these tables beyond one level, case by case.
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
difference is in levels of 255 (latents: in thousandths). Where both servers refuse or fail in the same way and with
the same words, that counts as equal. Nodes that the emulator executes and no case is about: {missing}.
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


def worded(rows: Mapping[str, Row], head: str) -> str:
    """The same with those that are equal but for the words of an error."""
    width = max(len(name) for name in [*rows, head])
    lines = [
        f"| {head:<{width}} | cases | equal | other words |",
        f"|{'-' * (width + 2)}|------:|------:|------------:|",
    ]
    for name, row in [*rows.items(), ("all", total(rows.values()))]:
        lines.append(f"| {name:<{width}} | {row.cases:>5} | {row.equal:>5} | {len(row.worded):>11} |")
    return "\n".join(lines)


def wordings(rows: Iterable[Row]) -> str:
    """Each case whose error has other words: case, ours, theirs."""
    lines = ["| case | emulator | ComfyUI |", "|---|---|---|"]
    for case, ours, theirs in (found for row in rows for found in row.worded):
        lines.append(f"| {line(case, 70)} | {line(ours, 130)} | {line(theirs, 170)} |")
    return "\n".join(lines)


def line(text: str, length: int) -> str:
    """A text in one line of a table, cut where it is too long."""
    flat = " ".join(text.split()).replace("|", "\\|").replace("`", "'").replace("\0", "\\0")
    return flat if len(flat) <= length else f"{flat[:length]}…"


def page(version: str, parts: Mapping[str, Mapping[str, Row]]) -> str:
    """The page of the documentation, of all parts."""
    texts = [_HEAD.format(version=version)]
    texts += [
        f"{_NODES.format(missing=', '.join(without_case()) or 'none')}\n{table(parts['nodes'])}\n",
        f"{_SEQUENCES}\n{differences(parts['messages'], 'scenario')}\n",
    ]
    texts.append(f"{_BODIES}\n{differences(parts['bodies'], 'what is wrong')}\n")
    texts.append(f"{_VALUES}\n{worded(parts['values'], 'what is wrong')}\n")
    every = [row for rows in parts.values() for row in rows.values()]
    texts.append(f"{_WORDS}\n{wordings(every)}\n")
    texts.append(f"{_ROUTES}\n{differences(parts['routes'], 'requests')}\n")
    texts.append(f"{_RANDOM}\n{differences(parts['random'], 'graphs')}\n")
    for name, text in (("options", _OPTIONS), ("eviction", _EVICTION)):
        if name in parts:
            texts.append(f"{text}\n{differences(parts[name], name)}\n")
    if any(row.notes for row in every):
        texts.append(f"{_APART}\n" + "\n".join(f"- `{line(note, 300)}`" for row in every for note in row.notes) + "\n")
    return "".join(texts)
