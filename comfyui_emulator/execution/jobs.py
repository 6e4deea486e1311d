"""Jobs: prompts as ``/api/jobs`` describes them (ComfyUI 0.6.0 and newer), from queue items and history records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfyui_emulator.registry import JsonObject

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
FINISHED = frozenset(STATUSES[2:])
ORDERS = ("created_at", "execution_duration")

PREVIEWED_CHARACTERS = 1024
"""The longest text in ``preview_output`` (ComfyUI 0.16 and newer)."""

UNREADABLE = "unreadable"
"""A key of stored jobs whose workflow has no id because it is not an object; never sent."""

_MEDIA = frozenset({"images", "video", "audio", "3d", "text"})
_SHAPES = (".obj", ".fbx", ".gltf", ".glb", ".usdz")
_TEXTS = (".txt", ".md", ".json")


class UnreadableJobError(AttributeError):
    """A prompt's ``extra_pnginfo``, or its workflow, is not an object; ComfyUI fails on it (0.6 to 0.33 at least)."""


@dataclass(frozen=True, slots=True)
class JobQuery:
    """A request for the list: which jobs, in which order, and which part of them."""

    statuses: frozenset[str] = frozenset(STATUSES)
    workflow_id: str | None = None
    order: str = "created_at"
    descending: bool = True
    limit: int | None = None
    offset: int = 0

    def choose(self, jobs: Iterable[JsonObject]) -> tuple[list[JsonObject], int]:
        """The part of ``jobs`` that the request names, and the number of all that fit."""
        found = [job for job in jobs if job["status"] in self.statuses]
        if self.workflow_id:
            found = [job for job in found if job.get("workflow_id") == self.workflow_id]
        found.sort(key=_created if self.order == "created_at" else _duration, reverse=self.descending)
        rest = found[self.offset :]
        return (rest if self.limit is None else rest[: self.limit]), len(found)


def _created(job: JsonObject) -> Any:
    return job.get("create_time", 0)


def _duration(job: JsonObject) -> Any:
    start, end = job.get("execution_start_time", 0), job.get("execution_end_time", 0)
    return end - start if start and end else 0


def queued_job(item: list[Any], status: str) -> JsonObject:
    """The job of an item of ``/queue``."""
    number, prompt_id, _, extra, _ = item
    return _present(
        {
            "id": prompt_id,
            "status": status,
            "priority": number,
            "create_time": extra.get("create_time"),
            "outputs_count": 0,
            "previewable_outputs_count": 0,
            **_workflow(extra),
        }
    )


def finished_job(prompt_id: str, record: JsonObject) -> JsonObject:
    """The job of a history record, as the list shows it."""
    number, _, _, extra, _ = record["prompt"]
    outputs = record["outputs"]
    facts = _facts(record["status"])
    return _present(
        {
            "id": prompt_id,
            "status": facts.pop("status"),
            "priority": number,
            "create_time": extra.get("create_time"),
            **facts,
            "outputs_count": sum(1 for _ in _items(outputs)),
            "previewable_outputs_count": sum(_previewable(kind, item) for _, kind, item in _items(outputs)),
            "preview_output": preview(outputs),
            **_workflow(extra),
        }
    )


def detailed_job(prompt_id: str, record: JsonObject) -> JsonObject:
    """The job of a history record with all that ``/api/jobs/{id}`` adds."""
    _, _, prompt, extra, _ = record["prompt"]
    return finished_job(prompt_id, record) | {
        "outputs": normalized(record["outputs"]),
        "execution_status": record["status"],
        "workflow": {"prompt": prompt, "extra_data": extra},
    }


def _present(job: JsonObject) -> JsonObject:
    return {key: value for key, value in job.items() if value is not None}


def _workflow(extra: JsonObject) -> JsonObject:
    """The workflow's id, and a mark if ComfyUI's way to it would fail."""
    info = extra.get("extra_pnginfo", {})
    workflow = info.get("workflow", {}) if isinstance(info, dict) else None
    if not isinstance(workflow, dict):
        return {UNREADABLE: True}
    return {"workflow_id": workflow.get("id")}


def _facts(status: JsonObject) -> JsonObject:
    """Status, times and error of a run, from its messages."""
    facts: JsonObject = {"status": "completed" if status["status_str"] == "success" else "failed"}
    for name, data in status["messages"]:
        if name == "execution_start":
            facts["execution_start_time"] = data.get("timestamp")
        elif name in ("execution_success", "execution_error", "execution_interrupted"):
            facts["execution_end_time"] = data.get("timestamp")
            if name == "execution_error":
                facts["execution_error"] = data
            elif name == "execution_interrupted" and facts["status"] == "failed":
                facts["status"] = "cancelled"
    return facts


def _lists(outputs: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Any]]]:
    """Node, kind and values of every list of outputs; ``animated`` is a flag."""
    for node_id, node_outputs in outputs.items():
        for kind, values in node_outputs.items() if isinstance(node_outputs, dict) else ():
            if kind != "animated" and isinstance(values, list):
                yield node_id, kind, values


def _items(outputs: Mapping[str, Any]) -> Iterator[tuple[str, str, JsonObject]]:
    """Node, kind and value of every output that is a file or an object; texts are none."""
    for node_id, kind, values in _lists(outputs):
        for value in values:
            item = _object(value)
            if item is not None:
                yield node_id, kind, item


def _object(value: Any) -> JsonObject | None:
    """An output as an object: the name of a 3D file stands for that file."""
    if isinstance(value, str) and value.lower().endswith(_SHAPES):
        return {"filename": value, "type": "output", "subfolder": "", "mediaType": "3d"}
    return value if isinstance(value, dict) else None


def _name(item: JsonObject) -> str:
    return str(item.get("filename", "")).lower()


def _previewable(kind: str, item: JsonObject) -> bool:
    media_type = str(item.get("format", ""))
    return kind in _MEDIA or media_type.startswith(("video/", "audio/")) or _name(item).endswith(_SHAPES + _TEXTS)


def preview(outputs: Mapping[str, Any]) -> JsonObject | None:
    """The output that stands for the whole job, or ``None``.

    That is the first file in the output folder, else the first other picture, sound, video or shape, else the first
    file with text, else the first text.
    """
    best: dict[str, JsonObject] = {}
    for node_id, kind, item in _items(outputs):
        if _previewable(kind, item):
            is_text = kind == "text" or _name(item).endswith(_TEXTS)
            rank = "text file" if is_text else "saved" if item.get("type") == "output" else "other"
            best.setdefault(rank, {**item, "nodeId": node_id, "mediaType": item.get("mediaType", kind)})
    for rank in ("saved", "other", "text file"):
        if rank in best:
            return best[rank]
    return _text(outputs)


def _text(outputs: Mapping[str, Any]) -> JsonObject | None:
    """The first text among the outputs, cut if it is long."""
    for node_id, kind, values in _lists(outputs):
        for value in values if kind == "text" else ():
            if _object(value) is None:
                text = str(value[0] if value else "") if isinstance(value, tuple) else str(value)
                cut = {"truncated": True} if len(text) > PREVIEWED_CHARACTERS else {}
                return {"content": text[:PREVIEWED_CHARACTERS], **cut, "nodeId": node_id, "mediaType": kind}
    return None


def normalized(outputs: Mapping[str, Any]) -> JsonObject:
    """Outputs without missing values, and with names of 3D files as objects."""
    found: JsonObject = {}
    for node_id, node_outputs in outputs.items():
        found[node_id] = node_outputs
        if isinstance(node_outputs, dict):
            found[node_id] = dict(node_outputs)
    for node_id, kind, values in _lists(outputs):
        found[node_id][kind] = [_object(value) or value for value in values if value is not None]
    return found
