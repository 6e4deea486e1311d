"""Messages to sockets in the scenarios of the parity table: which ones in which order, and their fields."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Collection, Iterator
from typing import Any

import aiohttp

from benchmarks.parity.corners import SCENARIOS
from benchmarks.parity.ordering import SetOrder
from benchmarks.parity.sequences import SCENARIO_SECONDS, play
from benchmarks.parity.servers import Server
from benchmarks.versions.drift_report import DIFFERS, SAME, Finding, of_tables
from benchmarks.versions.value_kinds import kinds, merged

Told = dict[str, list[Any]]


async def told_by(server: Server, order: SetOrder, names: Collection[str]) -> dict[str, Told]:
    """What a server tells in each scenario."""
    timeout = aiohttp.ClientTimeout(total=SCENARIO_SECONDS)
    async with aiohttp.ClientSession(server.url, timeout=timeout) as session:
        return {name: await play(session, SCENARIOS[name], order) for name in names}


def compare(a: Server, b: Server, order: SetOrder, names: Collection[str] = ()) -> dict[str, list[Finding]]:
    """All scenarios, or those of these names: the messages in their order, then the fields of each kind of message."""
    ours, theirs = (asyncio.run(told_by(server, order, names or SCENARIOS)) for server in (a, b))
    return {
        "messages in their order": [in_order(name, ours[name], theirs[name]) for name in ours],
        "fields of messages and records": of_tables(forms(ours.values()), forms(theirs.values())),
    }


def in_order(name: str, ours: Told, theirs: Told) -> Finding:
    """One scenario, by the labels of what was told."""
    details = [
        f"{part}: {change}"
        for part in sorted(ours.keys() | theirs.keys())
        if not part.startswith("status of")
        for change in changes([*map(label, ours.get(part, ()))], [*map(label, theirs.get(part, ()))])
    ]
    return Finding(name, DIFFERS if details else SAME, tuple(details))


def label(event: Any) -> str:
    """A message, an answer or a record in few words."""
    kind, data = event
    if kind == "binary":
        return f"binary {data['kind']}"
    if kind == "record" and "status" in data:
        return f"record {data['status']['status_str']} with outputs of {', '.join(sorted(data['outputs'])) or 'none'}"
    if kind == "executing":
        return f"executing {data.get('node')}"
    if kind == "execution_cached":
        return f"execution_cached {', '.join(sorted(data['nodes'])) or 'none'}"
    error = data.get("error") if isinstance(data, dict) else None
    return f"{kind} {error.get('type')}" if isinstance(error, dict) else str(kind)


def changes(a: list[str], b: list[str]) -> Iterator[str]:
    """How two lists of labels differ, place by place."""
    for kind, start, end, other_start, other_end in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind != "equal":
            one, other = (", ".join(part) or "nothing" for part in (a[start:end], b[other_start:other_end]))
            yield f"at {start}: {one} → {other}"


def forms(scenarios: Any) -> dict[str, Any]:
    """The form of every kind of message, answer and record, over all scenarios."""
    found: dict[str, Any] = {}
    for told in scenarios:
        for part, events in told.items():
            for event in events if not part.startswith("status of") else ():
                kind, data = event
                name = (
                    answer_name(kind) if part == "answers" else f"message {label(event) if kind == 'binary' else kind}"
                )
                if name is not None:
                    found[name] = merged(found.get(name), kinds(data))
    return found


def answer_name(kind: str) -> str | None:
    """The common name of answers of one kind; ``None`` for other entries."""
    if kind == "record":
        return "history record"
    status = kind.rpartition(" ")[2]
    return f"answer of status {status}" if status.isdecimal() else None
