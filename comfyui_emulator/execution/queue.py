"""The prompt queue, the worker that runs it, and the history records."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from comfyui_emulator.console import GREEN
from comfyui_emulator.execution.engine import Engine, RunOutcome, RunRequest
from comfyui_emulator.execution.history import History
from comfyui_emulator.execution.jobs import (
    FINISHED,
    UNREADABLE,
    JobQuery,
    UnreadableJobError,
    detailed_job,
    finished_job,
    queued_job,
)
from comfyui_emulator.execution.run import Run
from comfyui_emulator.faults import Faults
from comfyui_emulator.registry import JsonObject

log = logging.getLogger("comfyui_emulator")

SENSITIVE = ("auth_token_comfy_org", "api_key_comfy_org")
"""Keys of ``extra_data`` that only nodes see, and neither the queue nor the history shows."""


@dataclass(order=True, slots=True)
class QueueItem:
    """A queued prompt. The smallest runs first: by number, then by id, as in ComfyUI's heap; then by arrival."""

    number: float
    prompt_id: str
    sequence: int
    request: RunRequest = field(compare=False)

    def listed(self) -> list[Any]:
        """The item as ``/queue`` and the history list it."""
        request = self.request
        return [self.number, self.prompt_id, request.prompt, request.extra_data, list(request.outputs)]


class PromptQueue:
    """Pending and running prompts, and the records of finished ones. Used only in the event loop's thread.

    ``changed`` is called whenever the number of prompts may have changed.
    """

    def __init__(self, changed: Callable[[], None], faults: Faults | None = None) -> None:
        self._changed = changed
        self._faults = faults or Faults()
        self._heap: list[QueueItem] = []
        self._sequence = itertools.count()
        self._available = asyncio.Event()
        self.running: QueueItem | None = None
        self.history = History()
        self._flags: dict[str, bool] = {}
        self._counter = 0

    @property
    def remaining(self) -> int:
        """Pending prompts plus the running one."""
        return len(self._heap) + (self.running is not None)

    def next_number(self) -> int:
        """The next value of the server-wide counter."""
        self._counter += 1
        return self._counter - 1

    def put(self, number: float, request: RunRequest) -> None:
        """Queue a prompt."""
        heapq.heappush(self._heap, QueueItem(number, request.prompt_id, next(self._sequence), request))
        self._available.set()
        self._changed()

    async def get(self) -> QueueItem | None:
        """Wait for the next prompt and mark it as running; ``None`` if only a flag was set."""
        while not self._heap:
            self._available.clear()
            await self._available.wait()
            # The worker must handle flags even if no prompt arrives.
            if self._flags:
                return None
        self.running = heapq.heappop(self._heap)
        self._changed()
        return self.running

    def finish(self, record: JsonObject) -> None:
        """Store the record of the running prompt, which has ended."""
        item, self.running = self.running, None
        if item is not None and not self._faults.evict_history:
            entry = item.prompt_id, json.dumps(record), json.dumps(finished_job(item.prompt_id, record))
            if self._faults.history_delay:
                asyncio.get_running_loop().call_later(self._faults.history_delay, self.history.put, *entry)
            else:
                self.history.put(*entry)
        self._changed()

    def listing(self) -> tuple[list[list[Any]], list[list[Any]]]:
        """The running and the pending items; pending ones are in heap order, not in run order, as in ComfyUI."""
        running = [self.running.listed()] if self.running is not None else []
        return running, [item.listed() for item in self._heap]

    def clear(self) -> None:
        """Remove all pending prompts."""
        self._heap.clear()
        self._changed()

    def delete(self, prompt_id: str) -> bool:
        """Remove the first pending prompt with that id; ``False`` if there is none."""
        for index, item in enumerate(self._heap):
            if item.prompt_id == prompt_id:
                del self._heap[index]
                heapq.heapify(self._heap)
                self._changed()
                return True
        return False

    def set_flag(self, name: str, *, value: bool) -> None:
        """Set a flag that the worker handles between prompts."""
        self._flags[name] = value
        self._available.set()

    def take_flags(self) -> dict[str, bool]:
        """The flags set since the last call."""
        flags, self._flags = self._flags, {}
        return flags

    def jobs(self, query: JobQuery) -> tuple[list[JsonObject], int]:
        """The jobs that a request names, and the number of all that fit."""
        running, pending = self.listing()
        found = [queued_job(item, "in_progress") for item in running]
        found += [queued_job(item, "pending") for item in pending]
        if query.statuses & FINISHED:
            found += map(json.loads, self.history.jobs())
        return query.choose([self._shown(job) for job in found])

    def job(self, prompt_id: str) -> JsonObject | None:
        """One job with its details, or ``None``."""
        record = self.history.get(prompt_id)
        if record is not None:
            return self._shown(detailed_job(prompt_id, json.loads(record)))
        running, pending = self.listing()
        for status, items in (("in_progress", running), ("pending", pending)):
            for item in items:
                if item[1] == prompt_id:
                    return self._shown(queued_job(item, status))
        return None

    def _shown(self, job: JsonObject) -> JsonObject:
        """A job as it is sent. Raises :class:`UnreadableJobError` where ComfyUI fails, if that fault is on."""
        if job.pop(UNREADABLE, False) and self._faults.unreadable_jobs:
            raise UnreadableJobError(f"the workflow in the extra_pnginfo of {job['id']} is not an object")
        return job

    def record(self, prompt_id: str) -> str:
        """One record under its id, or an empty object, as JSON text."""
        found = self.history.get(prompt_id)
        return "{}" if found is None else f"{{{json.dumps(prompt_id)}: {found}}}"

    def pages(self, max_items: int | None, offset: int) -> str:
        """``max_items`` records from ``offset``, as JSON text; a negative offset returns the newest."""
        count = len(self.history)
        if offset < 0 and max_items is not None:
            offset = count - max_items
        start = max(offset, 0)
        # ComfyUI returns the record at ``offset`` even if ``max_items`` is 0.
        end = count if max_items is None else start + max(max_items, 1)
        found = self.history.page(start, min(end, count))
        return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in found) + "}"


def make_record(item: QueueItem, outcome: RunOutcome) -> JsonObject:
    """The history record of a finished run."""
    return {
        "prompt": item.listed(),
        "outputs": outcome.outputs,
        "status": {
            "status_str": "success" if outcome.success else "error",
            "completed": outcome.success,
            "messages": [list(message) for message in outcome.messages],
        },
        "meta": outcome.meta,
    }


async def work(queue: PromptQueue, engine: Engine) -> None:
    """Run prompts one after another until cancelled. Nothing that a prompt does ends this loop."""
    while True:
        item = await queue.get()
        if item is not None:
            await _run(queue, engine, item)
        flags = queue.take_flags()
        # As in ComfyUI, freeing memory unloads the models, too.
        if flags.get("unload_models") or flags.get("free_memory"):
            engine.unload()
        if flags.get("free_memory"):
            engine.reset()


async def _run(queue: PromptQueue, engine: Engine, item: QueueItem) -> None:
    started = time.perf_counter()
    try:
        outcome = await Run(engine, item.request).execute()
    except Exception as error:  # a defect of the emulator must not stop the prompts behind it
        log.exception("prompt %s could not be executed", item.prompt_id)
        outcome = broken_outcome(item.prompt_id, error)
        engine.hub.send("execution_error", outcome.messages[-1][1], item.request.extra_data.get("client_id"))
    # The record comes before the last message, so that a client that gets the message finds the record.
    queue.finish(make_record(item, outcome))
    sid = item.request.extra_data.get("client_id")
    if sid is not None:
        engine.hub.send("executing", {"node": None, "prompt_id": item.prompt_id}, sid)
    log.info("Prompt executed in %.2f seconds", time.perf_counter() - started, extra=GREEN)


def broken_outcome(prompt_id: str, error: Exception) -> RunOutcome:
    """The outcome of a run in which the executor itself failed."""
    data: JsonObject = {
        "prompt_id": prompt_id,
        "node_id": "",
        "node_type": "",
        "executed": [],
        "exception_message": f"{error}\n",
        "exception_type": type(error).__name__,
        "traceback": [],
        "current_inputs": {},
        "current_outputs": [],
        "timestamp": int(time.time() * 1000),
    }
    return RunOutcome(False, [("execution_error", data)], {}, {})
