"""Jobs: what the list and the details show, filters, orders and pages, and cancellation."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from typing import Any

import pytest
from waiting import until

from comfyui_emulator.execution import history
from comfyui_emulator.execution.jobs import finished_job, normalized, preview
from comfyui_emulator.http.app import faults_of
from comfyui_emulator.server import EMULATOR

N = Any
UNKNOWN = str(uuid.UUID(int=1))


def record(status: str = "success", *messages: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """A history record."""
    told = [["execution_start", {"timestamp": 5}], *([name, data] for name, data in messages)]
    return {
        "prompt": [3, "id", {}, more.get("extra", {}), []],
        "outputs": more.get("outputs", {}),
        "status": {"status_str": status, "completed": status == "success", "messages": told},
    }


@pytest.mark.parametrize(
    ("status", "last", "expected"),
    [
        ("success", "execution_success", "completed"),
        ("error", "execution_error", "failed"),
        ("error", "execution_interrupted", "cancelled"),
    ],
)
def test_status_times_and_error(status: str, last: str, expected: str) -> None:
    """The messages of the record tell how and when the run ended; what is missing is left out."""
    job = finished_job("id", record(status, (last, {"timestamp": 9})))

    error = {"execution_error": {"timestamp": 9}} if expected == "failed" else {}
    assert job == error | {
        "id": "id",
        "status": expected,
        "priority": 3,
        "execution_start_time": 5,
        "execution_end_time": 9,
        "outputs_count": 0,
        "previewable_outputs_count": 0,
    }


PICTURE = {"filename": "a.png", "subfolder": "", "type": "output"}
TEMPORARY = {"filename": "t.png", "subfolder": "", "type": "temp"}
NOTES = {"filename": "a.md", "subfolder": "", "type": "output"}
SHAPE = {"filename": "a.glb", "type": "output", "subfolder": "", "mediaType": "3d"}


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({}, None),
        ({"1": {"images": [TEMPORARY]}, "2": {"images": [PICTURE]}}, {**PICTURE, "nodeId": "2", "mediaType": "images"}),
        ({"1": {"text": ["x"]}, "2": {"images": [TEMPORARY]}}, {**TEMPORARY, "nodeId": "2", "mediaType": "images"}),
        ({"1": {"files": [NOTES]}, "2": {"text": ["x"]}}, {**NOTES, "nodeId": "1", "mediaType": "files"}),
        ({"1": {"files": [NOTES]}, "2": {"images": [TEMPORARY]}}, {**TEMPORARY, "nodeId": "2", "mediaType": "images"}),
        ({"1": {"latents": [{"filename": "a.latent", "type": "output"}]}}, None),
        ({"1": {"other": [{"filename": "a.x", "format": "video/x"}]}},
         {"filename": "a.x", "format": "video/x", "nodeId": "1", "mediaType": "other"}),
        ({"1": {"result": ["a.glb", None]}}, {**SHAPE, "nodeId": "1"}),
        ({"1": {"text": ["x", "y"]}}, {"content": "x", "nodeId": "1", "mediaType": "text"}),
        ({"1": {"text": [("x",)]}}, {"content": "x", "nodeId": "1", "mediaType": "text"}),
        ({"1": {"text": ["x" * 1025]}},
         {"content": "x" * 1024, "truncated": True, "nodeId": "1", "mediaType": "text"}),
        ({"1": {"images": [], "animated": (True,)}, "2": None}, None),
    ],
)  # fmt: skip
def test_the_best_output_is_the_preview(outputs: Any, expected: Any) -> None:
    """Saved media come first, then other media, files with text, texts."""
    assert preview(outputs) == expected


def test_outputs_are_counted_and_normalized() -> None:
    """Texts do not count; names of 3D files become objects; other files are not previewed."""
    outputs = {
        "1": {"images": [PICTURE], "latents": [{"filename": "a.latent"}]},
        "2": {"result": ["a.glb", None, "x"], "text": ["t"], "animated": [True]},
    }
    job = finished_job("id", record(outputs=outputs))

    assert (job["outputs_count"], job["previewable_outputs_count"]) == (3, 2)
    assert normalized(outputs)["2"] == {"result": [SHAPE, "x"], "text": ["t"], "animated": [True]}


async def filled(emulator: N, make: N) -> list[str]:
    """Four finished prompts: two of a workflow, one that failed, one with text; their ids, oldest first."""
    extra = {"extra_pnginfo": {"workflow": {"id": "w"}}}
    graphs = [
        ({"1": make("PreviewAny", source="x")}, {"extra_data": extra}),
        ({"1": make("Fail", value=1, kind="ValueError"), "2": make("PreviewAny", source=["1", 0])}, {}),
        ({"1": make("PreviewAny", source="y")}, {"extra_data": extra}),
        ({"1": make("PreviewAny", source="z")}, {}),
    ]
    ids = []
    for graph, fields in graphs:
        ids.append(str(uuid.uuid4()))
        await emulator.run(graph, prompt_id=ids[-1], **fields)
    return ids


async def listed(emulator: N, query: str = "") -> tuple[list[str], dict[str, Any]]:
    """Ids of the list, and where it is in the whole."""
    answer = await emulator.get(f"/api/jobs{query}")
    return [job["id"] for job in answer["jobs"]], answer["pagination"]


async def test_the_list(emulator: N, make: N) -> None:
    """Filters, orders and pages; the newest come first, with their workflow's id and a preview."""
    ids = await filled(emulator, make)
    newest, pages = await listed(emulator)

    assert sorted(newest) == sorted(ids)
    assert pages == {"offset": 0, "limit": None, "total": 4, "has_more": False}
    oldest, _ = await listed(emulator, "?sort_order=asc")
    assert sorted(oldest) == sorted(ids)
    assert (await listed(emulator, "?status=failed"))[0] == [ids[1]]
    assert set((await listed(emulator, "?status=completed,%20Failed"))[0]) == set(ids)
    assert (await listed(emulator, "?status=pending,in_progress"))[0] == []
    assert (await listed(emulator, "?status=,"))[0] == []
    assert set((await listed(emulator, "?workflow_id=w"))[0]) == {ids[0], ids[2]}
    assert (await listed(emulator, "?limit=2&offset=1"))[1] == {"offset": 1, "limit": 2, "total": 4, "has_more": True}
    assert len((await listed(emulator, "?limit=9&offset=3"))[0]) == 1
    assert (await listed(emulator, "?offset=-5"))[1]["offset"] == 0
    jobs = {job["id"]: job for job in (await emulator.get("/api/api/jobs?sort_by=execution_duration"))["jobs"]}
    assert jobs[ids[0]]["workflow_id"] == "w"
    assert jobs[ids[3]]["preview_output"] == {"content": "z", "nodeId": "1", "mediaType": "text"}
    assert jobs[ids[1]]["execution_error"]["exception_type"] == "ValueError"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("status=nope,failed,x", "Invalid status value(s): nope, x. Valid values: pending, in_progress, completed, "),
        ("sort_by=x", "sort_by must be 'created_at' or 'execution_duration'"),
        ("sort_order=x", "sort_order must be 'asc' or 'desc'"),
        ("limit=0", "limit must be a positive integer"),
        ("limit=x", "limit must be an integer"),
        ("offset=x", "offset must be an integer"),
    ],
)
async def test_wrong_queries(emulator: N, query: str, text: str) -> None:
    """A wrong parameter is refused in ComfyUI's words."""
    async with emulator.http.get(f"/api/jobs?{query}") as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith(text)


async def test_only_below_the_prefix(emulator: N) -> None:
    """There are no jobs without ``/api``."""
    async with emulator.http.get("/jobs") as answer:
        assert answer.status == 404


async def test_details(emulator: N, make: N) -> None:
    """A finished job has outputs, status and prompt as the history has them; an unknown one is 404."""
    ids = await filled(emulator, make)
    job = await emulator.get(f"/api/jobs/{ids[0]}")
    history = (await emulator.get(f"/history/{ids[0]}"))[ids[0]]

    assert job["execution_status"] == history["status"]
    assert job["outputs"] == history["outputs"]
    assert job["workflow"] == {"prompt": history["prompt"][2], "extra_data": history["prompt"][3]}
    async with emulator.http.get(f"/api/jobs/{UNKNOWN}") as answer:
        assert (answer.status, await answer.json()) == (404, {"error": "Job not found"})


async def held(emulator: N, make: N, nodes: N, count: int) -> list[str]:
    """A running prompt that waits for an interrupt, and pending ones; their ids."""
    ids = [str(uuid.uuid4()) for _ in range(count + 1)]
    async with await emulator.socket("me") as socket:
        graph = {"1": make("Wait", value=1), "2": make("PreviewAny", source=["1", 0])}
        await emulator.submit(graph, prompt_id=ids[0], client_id="me")
        while (await socket.receive_json(timeout=10))["type"] != "executing":
            pass
    for name in ids[1:]:
        await emulator.submit({"1": make("PreviewAny", source=name)}, prompt_id=name)
    return ids


async def ended(emulator: N, name: str) -> dict[str, Any]:
    """The job once it has ended."""
    job: dict[str, Any] = {}

    async def look() -> bool:
        job.update(await emulator.get(f"/api/jobs/{name}"))
        return job.get("status") not in ("pending", "in_progress")

    await until(look)
    return job


async def test_cancelling(emulator: N, make: N, nodes: N) -> None:
    """A running job is interrupted, a pending one is gone, any other is left alone."""
    first, second, third, fourth = await held(emulator, make, nodes, 3)
    running, _ = await listed(emulator, "?status=in_progress")
    pending, _ = await listed(emulator, "?status=pending")
    assert (running, set(pending)) == ([first], {second, third, fourth})
    assert (await emulator.get(f"/api/jobs/{second}"))["status"] == "pending"

    async def cancel(path: str, **body: Any) -> Any:
        return json.loads((await emulator.post(f"/api/jobs/{path}cancel", **body))[1])

    assert await cancel(f"{second}/") == {"cancelled": True}
    assert await cancel("", json={"job_ids": [UNKNOWN, third]}) == {"cancelled": True}
    assert await cancel("any/") == {"cancelled": False}
    assert await cancel("", json={"job_ids": []}) == {"cancelled": False}
    assert await cancel(f"{first}/") == {"cancelled": True}

    assert (await ended(emulator, first))["status"] == "cancelled"
    assert (await ended(emulator, fourth))["status"] == "completed"
    assert await cancel(f"{fourth}/") == {"cancelled": False}
    for name in (second, third):
        assert (await emulator.get(f"/api/jobs/{name}")) == {"error": "Job not found"}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"{", {"error": "Request body must be valid JSON"}),
        (b"[]", {"error": "job_ids must be a list"}),
        (b'{"job_ids": "x"}', {"error": "job_ids must be a list"}),
        (
            json.dumps({"job_ids": [UNKNOWN, UNKNOWN.replace("-", ""), 5, {}]}).encode(),
            {"error": "job_ids contains invalid id(s)", "invalid_ids": [UNKNOWN.replace("-", ""), "5", "{}"]},
        ),
    ],
)
async def test_wrong_cancellations(emulator: N, body: bytes, answer: Any) -> None:
    """A body of another form cancels nothing."""
    status, found = await emulator.post("/api/jobs/cancel", data=body)

    assert (status, json.loads(found)) == (400, answer)


@pytest.mark.parametrize("info", [None, [], "x", {"workflow": None}, {"workflow": []}])
async def test_workflow_that_is_no_object(emulator: N, make: N, info: Any) -> None:
    """ComfyUI's whole list fails for it; here only with the fault, and the job has no workflow's id."""
    graph = {"1": make("PreviewAny", source="x")}
    name = str(uuid.uuid4())
    await emulator.run(graph, prompt_id=name, extra_data={"extra_pnginfo": info})

    ids, _ = await listed(emulator)
    faults_of(emulator.http.app).unreadable_jobs = True
    statuses = []
    for path in ("/api/jobs", "/api/jobs?status=completed", "/api/jobs?status=pending", f"/api/jobs/{name}"):
        async with emulator.http.get(path) as answer:
            statuses.append(answer.status)

    assert ids == [name]
    assert statuses == [500, 500, 200, 500]


async def test_jobs_on_the_disk(launch: N, make: N, monkeypatch: N) -> None:
    """A job is listed as long as its record exists, wherever that is."""
    monkeypatch.setattr(history, "RECENT_RECORDS", 1)
    async with launch() as emulator:
        ids = await filled(emulator, make)
        ids += await filled(emulator, make)

        assert emulator.http.app[EMULATOR].queue.history.in_memory < len(ids)
        assert sorted((await listed(emulator))[0]) == sorted(ids)
        await emulator.post("/history", json={"delete": [ids[0]]})
        assert sorted((await listed(emulator))[0]) == sorted(ids[1:])
        await emulator.post("/history", json={"clear": True})
        assert (await listed(emulator))[0] == []


async def test_gate_is_no_interrupt(emulator: N, make: N, nodes: N) -> None:
    """Cancelling a job that has just ended does not interrupt the next one."""
    gate = nodes["Gate"]
    gate.entered, gate.leave = threading.Event(), threading.Event()
    done = str(uuid.uuid4())
    await emulator.run({"1": make("PreviewAny", source="x")}, prompt_id=done)
    _, running = await emulator.submit({"1": make("Gate", value=1), "2": make("PreviewAny", source=["1", 0])})
    assert await asyncio.to_thread(gate.entered.wait, 20)
    _, answer = await emulator.post(f"/api/jobs/{done}/cancel")
    gate.leave.set()

    assert json.loads(answer) == {"cancelled": False}
    assert (await ended(emulator, running["prompt_id"]))["status"] == "completed"
