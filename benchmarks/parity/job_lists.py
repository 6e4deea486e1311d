"""Jobs on both servers: prompts of every end, and how the list and the details of ``/api/jobs`` show them."""

from __future__ import annotations

import json
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.parity.comparing import Row
from benchmarks.parity.sequences import first_difference
from benchmarks.parity.servers import RUN_SECONDS, Server

WORKFLOW = "parity of jobs"
_SPACE = uuid.UUID("6f1c1f0e-9d38-4f0a-8a51-3f2a0a6f9b11")
_TEMPORARY_NAME = re.compile(r"ComfyUI_temp_[a-z]{5}_")
TIMES = ("create_time", "execution_start_time", "execution_end_time", "timestamp")
UNEQUAL = ("traceback", "current_inputs", "current_outputs", "executed")
"""Parts of errors that other parts of the comparison look at."""

OUTPUTS: tuple[Any, ...] = (
    {},
    {"images": [{"filename": "a.png", "subfolder": "", "type": "temp"}]},
    {"images": [{"filename": "a.png", "type": "temp"}, {"filename": "b.png", "type": "output"}]},
    {"text": ["x" * 1024]},
    {"text": ["x" * 1025, "y"]},
    {"text": ["", "y"]},
    {"text": [5, None, ["a"], {"filename": "a.png"}]},
    {"text": ["a.glb"], "images": [{"filename": "a.png"}]},
    {"files": [{"filename": "a.md", "type": "output"}], "text": ["x"]},
    {"files": [{"filename": "a.md", "type": "output"}], "images": [{"filename": "a.png"}]},
    {"files": [{"filename": "a.MD"}, {"filename": "A.GLB"}, {"filename": "a.latent"}, {"format": "video/mp4"}]},
    {"files": [{"filename": "a.x", "format": "audio/x"}, {"filename": "b.x", "format": "image/x"}, {}]},
    {"result": ["a.GLB", None, "x", {"filename": "a.glb", "mediaType": "own"}], "animated": [True]},
    {"3d": [{"filename": "a.obj", "type": "output"}], "video": [{"filename": "a.mp4"}], "audio": [{}]},
    {"gifs": [{"filename": "a.gif", "type": "output", "format": "image/gif"}], "latents": [{"filename": "a.latent"}]},
)


def prompts(folder: Path) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Names, graphs and ids of workflows of prompts that end by themselves."""
    for number, ui in enumerate(OUTPUTS):
        yield f"ui {number}", {"1": node("ParityUi", ui=json.dumps(ui))}, WORKFLOW
    shown = {"1": node("ParityUi", ui=json.dumps(OUTPUTS[3])), "2": node("ParityUi", ui=json.dumps(OUTPUTS[2]))}
    yield "text before a picture", shown, WORKFLOW
    yield "another workflow", {"1": node("ParityShow", value=910)}, "another"
    yield "an id that is no text", {"1": node("ParityShow", value=911)}, 5
    yield "failed", {"1": node("ParityFail", value=912, kind="ValueError", message="no"), "2": show("1")}, WORKFLOW
    yield "invalid in part", {"1": node("ParityShow", value=913), "2": node("ParityShow")}, WORKFLOW
    yield "blocked", {"1": node("ParityBlock", value=914, message="no"), "2": show("1")}, WORKFLOW


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}


def show(source: str) -> dict[str, Any]:
    """An output."""
    return node("ParityShow", value=[source, 0])


class JobTalk:
    """The same jobs on one server, and what it says of them."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self._folder = server, folder
        self.told: list[tuple[str, Any]] = []

    def hold(self) -> None:
        """Run everything, cancel in every state, and ask for lists and details in between."""
        for name, graph, workflow in prompts(self._folder):
            self.submit(name, graph, workflow)
        self.drain()
        gate = self._folder / "gate"
        self.submit("running", {"1": node("ParityWait", value=1, path=str(gate), deaf=False), "2": show("1")})
        self.until((self._folder / "gate.entered").exists)
        for number in range(4):
            self.submit(f"pending {number}", {"1": node("ParityShow", value=920 + number)})
        self.look("?status=in_progress", "?status=pending", "", "?status=pending,completed&limit=3")
        self.details("running", "pending 0", "failed", "ui 2", "blocked", "an id that is no text", "nothing")
        self.cancel(f"/{self.id('pending 0')}")
        self.cancel("", "pending 1", "nothing", "ui 2")
        self.cancel("", "ui 2", "nothing")
        self.look("?status=pending")
        self.cancel(f"/{self.id('running')}")
        self.drain()
        self.cancel("", *(f"pending {number}" for number in range(4)), "running")
        self.details("running", "pending 0", "pending 2")
        self.look(
            "", "?status=cancelled", "?status=failed,cancelled", "?sort_order=asc", "?limit=4", "?limit=4&offset=4"
        )
        self.look("?offset=1000", "?sort_by=created_at&sort_order=asc&offset=3")

    @staticmethod
    def id(name: str) -> str:
        """The id under which a prompt goes."""
        return str(uuid.uuid5(_SPACE, name))

    def submit(self, name: str, graph: dict[str, Any], workflow: Any = WORKFLOW) -> None:
        """Queue a prompt under its id."""
        extra = {"extra_pnginfo": {"workflow": {"id": workflow}}}
        body = {"prompt": graph, "prompt_id": self.id(name), "number": 0, "extra_data": extra}
        status, _ = self.server.send("/prompt", json.dumps(body).encode())
        self.told.append((f"submit {name}", status))
        # Jobs are sorted by the millisecond in which they came.
        time.sleep(0.003)

    def look(self, *queries: str) -> None:
        """The list, of these jobs alone."""
        for query in queries:
            asked = f"/api/jobs{query}{'&' if query else '?'}workflow_id={WORKFLOW.replace(' ', '%20')}"
            self.note(f"list {query}", self.server.send(asked))

    def details(self, *names: str) -> None:
        """Single jobs."""
        for name in names:
            self.note(f"details of {name}", self.server.send(f"/api/jobs/{self.id(name)}"))

    def cancel(self, path: str, *names: str) -> None:
        """Cancel one or several."""
        body = json.dumps({"job_ids": [self.id(name) for name in names]}).encode()
        self.note(f"cancel {path} {names}", self.server.send(f"/api/jobs{path}/cancel", body))

    def note(self, about: str, answer: tuple[int, bytes]) -> None:
        """Keep an answer without what differs between any two runs."""
        content = _TEMPORARY_NAME.sub("", answer[1].decode()).replace(str(self._folder), "/folder")
        self.told.append((about, [answer[0], plain(json.loads(content))]))

    def drain(self) -> None:
        """Wait until nothing runs or waits."""
        self.until(lambda: not json.loads(self.server.request("/prompt"))["exec_info"]["queue_remaining"])

    @staticmethod
    def until(condition: Any) -> None:
        """Wait for a condition. Raises ``TimeoutError``."""
        deadline = time.monotonic() + RUN_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("a job did not come to its end")
            time.sleep(0.002)


def plain(value: Any) -> Any:
    """A value without times, and without what other parts of the comparison look at."""
    if isinstance(value, dict):
        found = {key: plain(item) for key, item in value.items() if key not in UNEQUAL}
        return found | {key: "time" for key in TIMES if key in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


def compare(ours: Server, theirs: Server) -> Row:
    """All of it on both servers."""
    talks = []
    for server in (ours, theirs):
        with tempfile.TemporaryDirectory() as folder:
            talks.append(JobTalk(server, Path(folder)))
            talks[-1].hold()
    row = Row()
    for (about, mine), (_, yours) in zip(talks[0].told, talks[1].told, strict=True):
        note = first_difference(mine, yours)
        if note is None:
            row.add(0)
        else:
            row.differs(f"{about}\n    {note}")
    return row
