"""Ends of runs on both servers: the outputs, or the facts of the error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks.parity.bodies import plain
from benchmarks.parity.building import Case
from benchmarks.parity.comparing import Row, compare_outputs, kinds, levels_apart, state
from benchmarks.parity.sequences import first_difference
from benchmarks.parity.servers import Server

_VALUE = re.compile(r"tensor\(|array\(|^\[[\[\] \d.-]|object at 0x|^[A-Z]\w+\(|^<")
"""Of the texts in ``current_inputs``: values of a library, which each server's libraries write their own way."""

_PLACE = re.compile(r"(/[^\s']*)/(?:input|output|temp|datasets)\b")
_MOMENT = re.compile(r"\d{8}_\d{6}")
_CHANGED = re.compile(r"(?<='is_changed': \[)\d{10}\.\d+(?=\])")
"""A file's time, in a prompt that is quoted as a hidden input."""
WORDS = ("exception_type", "exception_message")


def told(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What ``execution_error`` says, without what differs between any two runs; ``None`` where there is none."""
    for kind, data in record["status"]["messages"]:
        if kind == "execution_error":
            found: dict[str, Any] = plain(
                {key: value for key, value in data.items() if key not in ("prompt_id", "traceback", "timestamp")}
            )
            found["exception_message"] = anywhere(found["exception_message"])
            given = found["current_inputs"]
            if isinstance(given, dict):
                found["current_inputs"] = {name: [quoted(value) for value in given[name]] for name in sorted(given)}
            return found
    return None


def anywhere(text: str) -> str:
    """A text without the place of the server's folders, and without the time."""
    text = _MOMENT.sub("moment", text)
    place = _PLACE.search(text)
    return text if place is None else text.replace(place[1], "base")


def quoted(value: Any) -> Any:
    """A value of ``current_inputs``: numbers and texts as they are."""
    if not isinstance(value, str):
        return value
    return "value" if _VALUE.search(value) else _CHANGED.sub("time", value)


def compare_ends(row: Row, label: str, mine: Mapping[str, Any], yours: Mapping[str, Any]) -> None:
    """Add one case that failed on both servers: equal, equal but for the words of the exception, or not."""
    ours, theirs = told(mine), told(yours)
    note = first_difference(ours, theirs)
    if note is None or ours is None or theirs is None:
        row.add(0) if note is None else row.differs(f"{label}: {note}")
        return
    rest = first_difference(without(ours), without(theirs))
    if rest is not None:
        row.differs(f"{label}: {rest}")
    else:
        row.reworded(label, words(ours), words(theirs))


def without(data: Mapping[str, Any]) -> dict[str, Any]:
    """An error without its words."""
    return {key: value for key, value in data.items() if key not in WORDS}


def words(data: Mapping[str, Any]) -> str:
    """An error's words in one line."""
    return f"{data['exception_type']}: {' '.join(str(data['exception_message']).split())}"


def of_nodes(ours: Server, theirs: Server, prompts: Iterable[Case]) -> dict[str, Row]:
    """Run cases on both servers; a row for each node, with the largest difference of its outputs."""
    rows: dict[str, Row] = {}
    for case in prompts:
        row = rows.setdefault(case.node, Row())
        mine, yours = both(case, ours, theirs)
        if state(mine) == state(yours) == "success":
            compare_outputs(row, case.label, ours.outputs(mine), theirs.outputs(yours))
        else:
            compare_failures(row, case.label, mine, yours)
    return rows


def both(case: Case, ours: Server, theirs: Server) -> tuple[dict[str, Any], dict[str, Any]]:
    """A case's records on both servers. Raises ``TimeoutError`` with the case."""
    try:
        return ours.run(case.graph), theirs.run(case.graph)
    except TimeoutError as error:
        raise TimeoutError(f"{case.node} {case.label}: {error}") from error


def of_groups(ours: Server, theirs: Server, prompts: Iterable[tuple[str, Case]]) -> dict[str, Row]:
    """Run prompts on both servers; a row for each group."""
    rows: dict[str, Row] = {}
    for group, case in prompts:
        compare(rows.setdefault(group, Row()), case, ours, theirs)
    return rows


def compare(row: Row, case: Case, ours: Server, theirs: Server) -> None:
    """Run one prompt on both servers; outputs may be one level apart."""
    label = f"{case.node} {case.label}"
    mine, yours = both(case, ours, theirs)
    if state(mine) == state(yours) == "success":
        notes = list(apart(ours.outputs(mine), theirs.outputs(yours)))
        row.differs(f"{label}: {notes[0]}") if notes else row.add(0)
    else:
        compare_failures(row, label, mine, yours)


def compare_failures(row: Row, label: str, mine: Mapping[str, Any], yours: Mapping[str, Any]) -> None:
    """Add one case that at least one server refused, or did not bring to a good end."""
    if state(mine) != state(yours):
        row.differs(f"{label}: {end(mine)}, not {end(yours)}")
    elif state(mine) == "refused":
        same = kinds(mine) == kinds(yours)
        row.add(0) if same else row.differs(f"{label}: {kinds(mine)}, not {kinds(yours)}")
    else:
        compare_ends(row, label, mine, yours)


def end(record: Mapping[str, Any]) -> str:
    """How a run ended, in short."""
    if "refused" in record:
        return f"refused ({json.dumps(record['refused'])[:200]})"
    found = told(record)
    return "success" if found is None else f"error ({words(found)[:300]})"


def apart(mine: list[Any], yours: list[Any]) -> Iterator[str]:
    """What differs between outputs by more than one level."""
    if len(mine) != len(yours):
        yield f"{len(mine)} outputs, not {len(yours)}"
    for one, two in zip(mine, yours, strict=False):
        found, note = levels_apart(one, two)
        if found > 1:
            yield note
