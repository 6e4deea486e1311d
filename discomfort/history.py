"""The shape of ComfyUI's history, as far as it is fixed. Pure types; at run time these are plain dictionaries."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class HistoryStatus(TypedDict):
    """How a run ended.

    ``status_str`` is ``success`` or ``error``. ``messages`` are pairs of an event's name and its data, in
    order, such as ``["execution_start", {"prompt_id": …, "timestamp": …}]``.
    """

    status_str: str
    completed: bool
    messages: list[list[Any]]


class HistoryRecord(TypedDict):
    """One run.

    ``prompt`` is ComfyUI's queue item: number, prompt id, the prompt itself, extra data, ids of the output nodes.
    ``outputs`` holds what each output node returned, by node id, such as ``{"9": {"images": [{"filename": …}]}}``.
    ``meta`` names the node that a result is shown at.
    """

    prompt: list[Any]
    outputs: dict[str, dict[str, Any]]
    status: HistoryStatus
    meta: NotRequired[dict[str, dict[str, Any]]]


History = dict[str, HistoryRecord]
"""The record of a run by its prompt id: what ``run_workflow`` returns. It has one entry."""
