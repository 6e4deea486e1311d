"""The scenarios on both servers, and where they differ."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.parity.comparing import Row
from benchmarks.parity.ordering import SetOrder
from benchmarks.parity.scenarios import Scenario
from benchmarks.parity.since import SCENARIOS
from benchmarks.parity.watching import stage

SCENARIO_SECONDS = 90.0


async def play(session: aiohttp.ClientSession, scenario: Scenario, order: SetOrder) -> dict[str, list[Any]]:
    """Runs one scenario on one server and returns all that was received. A scenario that cannot go on says why."""
    with tempfile.TemporaryDirectory() as folder:
        async with stage(session, Path(folder), order) as made:
            try:
                async with asyncio.timeout(SCENARIO_SECONDS):
                    await scenario(made)
                    await made.settle()
            except Exception as error:  # noqa: BLE001 - the report is what this is for
                made.told.append(("stopped", f"{type(error).__name__}: {error}"))
                await made.release()
            result = made.result()
            return json.loads(json.dumps(result).replace(folder, "/folder"))  # type: ignore[no-any-return]


def first_difference(ours: Any, theirs: Any, place: str = "") -> str | None:
    """Where two values differ first, and how; ``None`` where they are equal (NaN equals NaN)."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if key not in ours or key not in theirs:
                return f"{place}.{key}: only {'ours' if key in ours else 'theirs'}: {(ours | theirs)[key]!r}"[:600]
            found = first_difference(ours[key], theirs[key], f"{place}.{key}")
            if found:
                return found
        return None
    if isinstance(ours, list) and isinstance(theirs, list):
        missing = object()
        if ours[:1] == theirs[:1] == ["levels"]:
            place += ".levels"
        if ours[:1] == theirs[:1] == ["stopped"]:
            return f"{place}: both stopped: {ours[1]} / {theirs[1]}"
        for index, (mine, yours) in enumerate(itertools.zip_longest(ours, theirs, fillvalue=missing)):
            if mine is missing or yours is missing:
                rest = yours if mine is missing else mine
                return f"{place}[{index}]: only {'theirs' if mine is missing else 'ours'}: {rest!r}"[:600]
            found = first_difference(mine, yours, f"{place}[{index}]")
            if found:
                return found
        return None
    if type(ours) is int and type(theirs) is int and ".levels" in place and abs(ours - theirs) <= 1:
        return None
    same = type(ours) is type(theirs) and (ours == theirs or (ours != ours and theirs != theirs))
    return None if same else f"{place}: {ours!r}, not {theirs!r}"[:600]


async def compare(urls: tuple[str, str], names: Iterable[str], order: SetOrder) -> dict[str, Row]:
    """Play scenarios on both servers; a row for each, with a note for each of its parts that differs."""
    rows: dict[str, Row] = {}
    timeout = aiohttp.ClientTimeout(total=SCENARIO_SECONDS)
    async with (
        aiohttp.ClientSession(urls[0], timeout=timeout) as ours,
        aiohttp.ClientSession(urls[1], timeout=timeout) as theirs,
    ):
        for name in names:
            row = rows[name] = Row()
            told = [await play(session, SCENARIOS[name], order) for session in (ours, theirs)]
            for part in sorted(told[0].keys() | told[1].keys()):
                note = first_difference(told[0].get(part), told[1].get(part), f"{name}: {part}")
                if note is None:
                    row.add(0)
                else:
                    row.differs(note)
    return rows
