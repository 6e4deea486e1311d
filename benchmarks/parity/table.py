"""The report: a table by node, as text and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.parity.cases import groups, without_case
from benchmarks.parity.comparing import Row, total

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "emulator-parity.md"

_HEAD = """# The emulator against ComfyUI

Made by `python -m benchmarks.parity --comfyui PATH --write`, which sends the same prompts in the same order to the
emulator and to ComfyUI {version}, and lists the differences. ComfyUI runs outputs in the order of a set of strings,
which changes with each start; the emulator runs them in the order of the prompt. To make both comparable, ComfyUI is
started with a known hash seed, and the outputs of each prompt are put into the order that its set will have.
"""

_SEQUENCES = """
## Messages, scenario by scenario

Clients connect; prompts are queued, interrupted, deleted, refused, cached, expanded. A case is what one client received
over its socket (types, data and binary frames in their order), the number of its `status` messages, or all answers and
history records of the scenario. Times and server-made ids are not compared. A traceback must have Python's form, and
the same last frame if that is in a node that both servers load.
"""

_BODIES = """
## Wrong prompts

A case is one body of `POST /prompt`. Status and answer are compared and, if both servers accept it, the record of its
run. Bodies that end ComfyUI's execution thread or its process are left out.
"""

_VALUES = """
## Wrong values inside nodes

A case is one prompt that passes validation. In every node, one input after the other is a constant instead of a link,
an array of another shape, a number at its limit, an odd text; there are also files that do not exist, places to save to
outside the folder, and values that do not fit together. A case is *equal* if it ends with the same outputs, or with the
same `execution_error`, including its `exception_type` and `exception_message`, except for the server's folders, the
time, and arrays that are quoted as inputs. Most of these texts are torch's, and are derived from the shapes.
"""

_WORDS = """
### Equal except for the text of a library

The same node fails with the same data and a different text. The text is torch's, Pillow's or Python's own, and
describes how ComfyUI's node is written rather than what is wrong.
"""

_APART = """
### Not equal

The cases in these tables that differ by more than one level, each with its reason where it is known.
"""

REASONS = {
    "BakeAmbientOcclusion bias=": "its rays are random, and from so near they meet the surface that they leave",
    "Canny image of 1,8,8,1": "on a ramp all gradients are equal, so rounding decides which pixels are edges",
    "TransformSplat scale_": "a stretched splat's axes are eigenvectors in single precision, of a matrix whose entries "
    "differ by a factor of 10,000",
    "RenderSplat splat_scale=": "splats are smaller than a pixel; presumably rounding decides which one they fall on",
}
"""Why cases differ, by the beginning of their notes."""

_ROUTES = """
## Requests

A case is one request to fresh servers. Status, relevant headers and, if it can be the same, the body are compared.
"""

_RANDOM = """
## Random prompts

Hypothesis makes valid and invalid graphs, and each runs twice. Answers, messages, records and pictures (up to one
level) are compared.
"""

_OPTIONS = """
## Other command lines

Both servers are started again with the same options. A case is one request (headers and decoded body) or, under
*messages*, what one client received in a scenario, or its answers and records.
"""

_EVICTION = """
## The history beyond its limit

A case is one page or record of the history after the given number of prompts.
"""

_NODES = """
## Outputs, node by node

A case is one prompt. It is *equal* if its outputs are the same in every pixel, value or letter; the largest difference
is in levels of 255 (latents: in thousandths). If both servers refuse or fail in the same way and with the same words,
that counts as equal. Nodes that the emulator executes but no case covers: {missing}.
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
    absent = sorted({case.node for group in groups().values() for case in group()} - parts["nodes"].keys())
    not_run = f"\nNot run yet: {', '.join(absent)}.\n" if absent else ""
    texts += [
        f"{_NODES.format(missing=', '.join(without_case()) or 'none')}\n{table(parts['nodes'])}\n{not_run}",
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
        texts.append(f"{_APART}\n" + "\n".join(apart(note) for row in every for note in row.notes) + "\n")
    return "".join(texts)


def apart(note: str) -> str:
    """One case that differs, with its reason."""
    reason = next((reason for start, reason in REASONS.items() if note.startswith(start)), "the reason is not known")
    return f"- `{line(note, 300)}`: {reason}"
