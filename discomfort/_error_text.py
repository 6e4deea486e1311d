"""Helpers that build the texts of errors."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence

OUT_OF_MEMORY = (
    "Usually the system's out-of-memory killer did this (see dmesg): use a smaller model or batch, or more memory"
)
"""The remedy for a server that SIGKILL ended."""

_BEGINNING = 0.9
"""How much the similarity of a name's beginning counts, compared with that of the whole name."""

_REGISTRY_ID = re.compile(r"[A-Za-z0-9][\w.-]*")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CORE = "comfy-core"
"""The pack that workflows name for ComfyUI's own nodes."""

_MANY = 1000
"""Names above which those that cannot be similar are not compared in full: lists of models have thousands."""


def joined(parts: Sequence[object], separator: str = "; ", limit: int = 20) -> str:
    """The first ``limit`` parts joined, and the number of the others."""
    shown = separator.join(map(str, parts[:limit]))
    return shown if len(parts) <= limit else f"{shown}{separator}and {len(parts) - limit} more"


def nearest(wanted: str, known: Sequence[str], *, cutoff: float = 0.0) -> list[str]:
    """``known``, the most similar to ``wanted`` first, regardless of case; equally similar ones keep their order.

    A name that begins similarly counts almost as much as one that is similar as a whole (``eulr`` and
    ``euler_ancestral``), and an extension that both have counts nothing. Those whose similarity is below ``cutoff``
    (0 to 1) are left out.
    """
    floor = max(cutoff, 0.5 if len(known) > _MANY else 0.0)
    stem, dot, extension = wanted.casefold().rpartition(".")
    extension = dot + extension if stem and extension.isalnum() else ""
    stem = wanted.casefold().removesuffix(extension)
    matcher = difflib.SequenceMatcher(b=stem, autojunk=False)

    def similarity(text: str) -> float:
        matcher.set_seq1(text)
        may_be_near = matcher.real_quick_ratio() >= floor and matcher.quick_ratio() >= floor
        return matcher.ratio() if may_be_near else 0.0

    scores = []
    for name in known:
        text = name.casefold().removesuffix(extension)
        beginning = text[: len(stem) + 1]
        score = similarity(text)
        scores.append(max(score, _BEGINNING * similarity(beginning)) if len(beginning) < len(text) else score)
    order = sorted(range(len(known)), key=lambda index: -scores[index])
    return [known[index] for index in order if scores[index] >= cutoff]


def log_lines(lines: Sequence[str], count: int = 15) -> str:
    """The last ``count`` lines of a log, to put before a text, whose end is what people read first."""
    shown = [f"  {line}\n" for line in _without_usage(lines)[-count:]]
    return "".join(["last log lines:\n", *shown]) if shown else ""


def _without_usage(lines: Sequence[str]) -> Sequence[str]:
    """``lines`` without the options that argparse lists before the one line that says what is wrong."""
    ends = [index for index, line in enumerate(lines) if re.match(r"\S+: error: ", line)]
    if not ends:
        return lines
    start = ends[-1]
    while start > 0 and re.match(r"\s", lines[start - 1]):
        start -= 1
    if start > 0 and lines[start - 1].startswith("usage: "):
        start -= 1
    return [*lines[:start], *lines[ends[-1] :]]


def install_command(packs: Sequence[str | None]) -> str | None:
    """The command of comfy-cli that installs these packs (registry ids, or repositories as ``owner/name``).

    ``None`` if there is none to install. Names come from a workflow that anybody may have written: those that are not
    plain are left out, since people paste the command into a shell.
    """
    named = dict.fromkeys(pack for pack in packs if pack and pack != _CORE)
    words = [pack for pack in named if _REGISTRY_ID.fullmatch(pack)]
    words += [f"https://github.com/{pack}" for pack in named if _REPOSITORY.fullmatch(pack)]
    return f"comfy node install {shlex.join(words)}" if words else None


def packs_remedy(packs: Sequence[str | None]) -> str:
    """What helps if node types of these packs are missing; ``None`` is a type for which the workflow names no pack."""
    command = install_command(packs)
    texts = [f"Install the packs that provide them: {command}."] if command else []
    if _CORE in packs:
        texts.append("Update ComfyUI: newer versions have them.")
    if None in packs or not texts:
        also = "Those without a pack" if texts else "Install the packs that provide them. They"
        texts.append(f"{also} can be searched by the names of their nodes at https://registry.comfy.org.")
    return " ".join(texts)


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
