"""Saves what a call gave, and makes records of it for the journal and results of those."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from discomfort._json import JsonObject
from discomfort.client.run_times import RunTimes
from discomfort.sweeps.sweep_folder import StagedFile, names_of
from discomfort.sweeps.sweep_results import SweepFile, SweepResult
from discomfort.sweeps.swept_function import SweptCall, SweptOutput


@dataclass(slots=True)
class SavedCall:
    """A call whose files are in a staging folder."""

    prompt_id: str
    server_seconds: float | None
    files: list[StagedFile] = field(default_factory=list)
    texts: dict[str, Any] = field(default_factory=dict)

    def record(self, row: SweepResult, seconds: float) -> JsonObject:
        """The record of the row, without what its commit adds."""
        return {
            **_about(row, seconds),
            "server_seconds": self.server_seconds,
            "prompt_id": self.prompt_id,
            "texts": self.texts,
        }


async def save_call(answer: SweptCall, stage: Path) -> SavedCall:
    """Save every file of a call in ``stage``: its named outputs, or all of them if those are none.

    Raises what :meth:`Output.save` raises.
    """
    saved = SavedCall(answer.prompt_id, _server_seconds(answer.history))
    named = [(name, output) for name in answer.keys() for output in answer[name].outputs]  # noqa: SIM118 - no mapping
    outputs: list[tuple[str, SweptOutput]] = named or [(output.title or "output", output) for output in answer.outputs]
    several = len({name for name, output in named if output.filename is not None}) > 1
    counts: dict[str, int] = {}
    for number, (name, output) in enumerate(outputs, 1):
        if output.filename is not None:
            # The name on the server may be anything; only its extension is kept.
            suffix = Path(output.filename).suffix
            suffix = suffix if suffix.isascii() and suffix[1:].isalnum() else ".bin"
            path = await output.save(stage, f"{number}{suffix}")
            of_name = f"_{name}" if several else ""
            counts[of_name] = count = counts.get(of_name, 0) + 1
            saved.files.append(StagedFile(path, name, output.kind, of_name + (f"_{count}" if count > 1 else "")))
        else:
            title, place = name, 2
            while title in saved.texts:
                title, place = f"{name} ({place})", place + 1
            saved.texts[title] = output.value
    return saved


def failure_record(row: SweepResult, error: Exception, seconds: float) -> JsonObject:
    """The record of a row that failed."""
    told = getattr(error, "problem", None)
    return {
        **_about(row, seconds),
        "prompt_id": getattr(error, "prompt_id", None),
        "error": told if isinstance(told, str) and told else str(error) or type(error).__name__,
        "error_type": type(error).__name__,
    }


def result_of(row: SweepResult, record: Mapping[str, Any], folder: Path, *, is_new: bool) -> SweepResult:
    """The row with what its record says."""
    entries = {entry.get("file"): entry for entry in record.get("files", ())}
    files = [
        SweepFile(folder / name, str(entries[name].get("output", "")), str(entries[name].get("kind", "file")))
        for name in names_of(dict(record))
    ]
    texts = record.get("texts")
    return replace(
        row,
        name=str(record.get("name", row.name)),
        status="done" if record.get("status") == "done" else "failed",
        is_new=is_new,
        files=tuple(files),
        texts=texts if isinstance(texts, dict) else {},
        seconds=record.get("seconds"),
        server_seconds=record.get("server_seconds"),
        prompt_id=record.get("prompt_id"),
        error=record.get("error"),
        error_type=record.get("error_type"),
    )


def _about(row: SweepResult, seconds: float) -> JsonObject:
    return {
        "key": row.key,
        "name": row.name,
        "values": dict(row.values),
        "seconds": round(seconds, 3),
        "ended": round(time.time(), 3),
    }


def _server_seconds(history: Any) -> float | None:
    """How long the server executed the prompt, by its own messages."""
    times = RunTimes()
    for record in history.values() if isinstance(history, Mapping) else ():
        if isinstance(record, Mapping):
            times.note_record(record)
    return None if times.started is None or times.ended is None else round(max(0.0, times.ended - times.started), 3)
