"""Prompts and workflows for the contract suite, and a recorder of progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from discomfort.progress import NodeStarted, ProgressEvent, Queued

E = TypeVar("E")
Prompt = dict[str, Any]


def node(class_type: str, title: str | None = None, **inputs: Any) -> dict[str, Any]:
    """One node of a prompt."""
    made: dict[str, Any] = {"class_type": class_type, "inputs": inputs}
    if title:
        made["_meta"] = {"title": title}
    return made


def picture_prompt(color: int = 0x336699, *, prefix: str | None = None, size: int = 32) -> Prompt:
    """An empty image, saved under ``prefix`` or else only previewed."""
    out = node("SaveImage", "Out", images=["1", 0], filename_prefix=prefix) if prefix else None
    return {
        "1": node("EmptyImage", "Source", width=size, height=size, batch_size=1, color=color),
        "2": out or node("PreviewImage", "Out", images=["1", 0]),
    }


def show_prompt(value: int) -> Prompt:
    """The smallest run there is: publishes ``value`` as a text."""
    return {"1": node("ContractShow", "Show", value=value)}


def gate_prompt(path: Path, *, deaf: bool = False, seconds: float = 60.0) -> Prompt:
    """A run that lasts until ``path`` appears."""
    return {"1": node("ContractGate", "The gate", path=str(path), seconds=seconds, deaf=deaf)}


def picture_workflow(color: int = 0x336699, *, prefix: str = "contract", size: int = 32) -> dict[str, Any]:
    """The same as :func:`picture_prompt` with a prefix, as the UI saves it."""
    return {
        "last_node_id": 2,
        "last_link_id": 1,
        "nodes": [
            {
                "id": 1,
                "type": "EmptyImage",
                "title": "Source",
                "pos": [10, 10],
                "size": [300, 130],
                "flags": {},
                "order": 0,
                "mode": 0,
                "inputs": [],
                "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1], "slot_index": 0}],
                "properties": {"Node name for S&R": "EmptyImage"},
                "widgets_values": [size, size, 1, color],
            },
            {
                "id": 2,
                "type": "SaveImage",
                "title": "Out",
                "pos": [400, 10],
                "size": [300, 270],
                "flags": {},
                "order": 1,
                "mode": 0,
                "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
                "outputs": [],
                "properties": {"Node name for S&R": "SaveImage"},
                "widgets_values": [prefix],
            },
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def record_of(history: Mapping[str, Any]) -> dict[str, Any]:
    """The only record of a history."""
    (record,) = history.values()
    return dict(record)


def texts_of(history: Mapping[str, Any], node_id: str = "1") -> list[str]:
    """The texts that one node published."""
    return list(record_of(history)["outputs"][node_id]["text"])


class Recorder:
    """An ``on_progress`` callback that keeps every event and lets tests wait for one."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []
        self._news = asyncio.Condition()

    async def __call__(self, event: ProgressEvent) -> None:
        """Take one event."""
        async with self._news:
            self.events.append(event)
            self._news.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    async def wait(self, kind: type[E], matches: Callable[[E], bool] = lambda _: True) -> E:
        """The first event of a kind that ``matches``, when it has come; 30 s at most."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: any(matches(event) for event in self.of(kind)))
        return next(event for event in self.of(kind) if matches(event))

    async def queued(self) -> Queued:
        """Wait until the prompt is queued."""
        return await self.wait(Queued)

    async def running(self) -> NodeStarted:
        """Wait until a node runs."""
        return await self.wait(NodeStarted)
