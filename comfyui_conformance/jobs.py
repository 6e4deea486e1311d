"""Checks of jobs: prompts as a list with their states, in detail, and cancelled."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from comfyui_conformance.model import Skip, check
from comfyui_conformance.probe import PREFIX, Probe, failing, node, picture
from discomfort._json import JsonObject

_LIST, _ONE = "server.py: get_jobs", "server.py: get_job_by_id"
_MADE = "comfy_execution/jobs.py: normalize_history_item"
_CANCEL = "server.py: cancel_job_by_id"
_BASIC = ("EmptyImage", "PreviewImage")
_SLOW = (*_BASIC, "ImageQuantize")


def _of(workflow: str) -> JsonObject:
    """Extra data by which the jobs of one check are found."""
    return {"extra_pnginfo": {"workflow": {"id": workflow}}}


async def _jobs(server: Probe, workflow: str, query: str = "") -> list[JsonObject]:
    """The jobs of that workflow. Raises Skip if a prompt of somebody else keeps the server from listing any."""
    answer = await server.get(f"/api/jobs?workflow_id={quote(workflow)}{query}")
    if answer.status == 500:
        raise Skip("the server cannot list jobs, because of one whose workflow is not an object")
    server.same("status of the list", answer.status, 200)
    return list(answer.json()["jobs"])


async def _job(server: Probe, prompt_id: str) -> JsonObject:
    return dict(await server.read(f"/api/jobs/{prompt_id}"))


@check(_LIST, before="jobs")
async def none(server: Probe) -> None:
    """There are no jobs."""
    server.same("status", (await server.get("/api/jobs")).status, 404)


@check(_LIST, since="jobs")
async def prefix(server: Probe) -> None:
    """Jobs exist only under /api."""
    statuses = [(await server.get(path)).status for path in ("/jobs", f"/api/jobs?workflow_id={PREFIX}")]
    server.holds("statuses", statuses in ([404, 200], [404, 500]), "404 for /jobs, 200 under /api", statuses)


@check(_LIST, nodes=_BASIC, since="jobs")
async def finished(server: Probe) -> None:
    """A finished prompt is a completed job with its times, number of outputs, first output and workflow."""
    mine = await server.queued(picture(), extra_data=_of(workflow := server.name()))
    record = await server.record(mine)
    (job,) = await _jobs(server, workflow)
    server.has("the job", job, {"id": mine, "status": "completed", "outputs_count": 1, "workflow_id": workflow})
    server.keys("the job", job, {"priority", "create_time", "execution_start_time", "execution_end_time"})
    times = [job.get(f"{name}_time", 0) for name in ("create", "execution_start", "execution_end")]
    server.holds("its times", times == sorted(times) and times[0] > 1e12, "milliseconds, in this order", times)
    (image,) = record["outputs"]["2"]["images"]
    server.has("preview_output", job.get("preview_output"), image | {"nodeId": "2", "mediaType": "images"})


@check(_ONE, nodes=_BASIC, since="jobs")
async def detail(server: Probe) -> None:
    """A job alone has its outputs, the status of its record, and what was sent."""
    prompt, extra = picture(), _of(server.name())
    mine = await server.queued(prompt, extra_data=extra)
    record = await server.record(mine)
    job = await _job(server, mine)
    server.has("the job", job, {"id": mine, "status": "completed"})
    server.has("outputs", job.get("outputs"), record["outputs"])
    server.same("execution_status", job.get("execution_status"), record["status"])
    server.has("workflow", job.get("workflow"), {"prompt": prompt, "extra_data": extra})


@check(_ONE, since="jobs")
async def unknown(server: Probe) -> None:
    """An unknown job is 404."""
    answer = await server.get(f"/api/jobs/{server.new_id()}")
    server.same("status", answer.status, 404)
    server.has("body", answer.json(), {"error": "Job not found"})


@check(_LIST, since="jobs")
async def refusals(server: Probe) -> None:
    """A bad query is 400 with a text that says what is wrong."""
    cases = {
        "status=none": "Invalid status value(s): none. Valid values: ",
        "sort_by=none": "sort_by must be 'created_at' or 'execution_duration'",
        "sort_order=none": "sort_order must be 'asc' or 'desc'",
        "limit=0": "limit must be a positive integer",
        "limit=x": "limit must be an integer",
        "offset=x": "offset must be an integer",
    }
    for query, text in cases.items():
        answer = await server.get(f"/api/jobs?{query}")
        server.same(f"status of {query}", answer.status, 400)
        found = answer.json().get("error", "")
        server.holds(f"error of {query}", str(found).startswith(text), text, found)


@check(_LIST, nodes=_BASIC, since="jobs")
async def pages(server: Probe) -> None:
    """Jobs are listed newest first, or oldest first with sort_order=asc; limit and offset choose a page."""
    workflow = server.name()
    ids = [await server.queued(picture(), extra_data=_of(workflow)) for _ in range(3)]
    for prompt_id in ids:
        await server.record(prompt_id)
    made = {job["id"]: job["create_time"] for job in await _jobs(server, workflow)}
    server.same("jobs", sorted(made), sorted(ids))
    for query, newest in (("", True), ("&sort_order=asc", False)):
        times = [made[job["id"]] for job in await _jobs(server, workflow, query)]
        server.same(f"times with {query!r}", times, sorted(times, reverse=newest))
    everything = [job["id"] for job in await _jobs(server, workflow)]
    found = await server.read(f"/api/jobs?workflow_id={workflow}&limit=1&offset=1")
    server.same("the second", [job["id"] for job in found["jobs"]], everything[1:2])
    server.has("pagination", found["pagination"], {"offset": 1, "limit": 1, "total": 3, "has_more": True})


@check(_MADE, nodes=["RegexReplace", "PreviewAny"], since="jobs")
async def failed(server: Probe) -> None:
    """A prompt whose node raises is a failed job with the error's message."""
    mine = await server.queued(failing(), extra_data=_of(workflow := server.name()))
    record = await server.record(mine)
    (job,) = await _jobs(server, workflow, "&status=failed")
    server.has("the job", job, {"id": mine, "status": "failed"})
    server.same("execution_error", job.get("execution_error"), record["status"]["messages"][-1][1])


@check(_LIST, nodes=_SLOW, since="jobs")
async def unfinished(server: Probe) -> None:
    """A running prompt is a job in progress, a waiting one is pending."""
    workflow = server.name()
    async with server.busy() as running:
        waiting = await server.queued(picture(), extra_data=_of(workflow))
        listed = await _jobs(server, workflow)
        job = await _job(server, running)
        await server.still_runs(running)
    expected = {"id": waiting, "status": "pending", "outputs_count": 0, "workflow_id": workflow}
    server.has("the waiting", listed, [expected])
    server.has("the running", job, {"id": running, "status": "in_progress"})


async def _interrupted(server: Probe) -> Any:
    """The status of the job of an interrupted prompt."""
    async with server.busy() as running:
        await server.still_runs(running)
        await server.stop(running)
        await server.record(running)
    return (await _job(server, running)).get("status")


@check(_MADE, nodes=_SLOW, since="cancelled-jobs")
async def interrupted(server: Probe) -> None:
    """An interrupted prompt is a cancelled job."""
    server.same("status", await _interrupted(server), "cancelled")


@check(_MADE, nodes=["PrimitiveInt", "PreviewAny"], since="text-previews")
async def text_preview(server: Probe) -> None:
    """The preview of a job that shows only a text is the text."""
    prompt = {"1": node("PrimitiveInt", value=42), "2": node("PreviewAny", source=["1", 0])}
    mine = await server.queued(prompt)
    await server.record(mine)
    expected = {"content": "42", "nodeId": "2", "mediaType": "text"}
    server.has("preview_output", (await _job(server, mine)).get("preview_output"), expected)


@check(_MADE, nodes=_BASIC, since="previewable-counts")
async def previewable_outputs(server: Probe) -> None:
    """A job counts the outputs that can be previewed."""
    mine = await server.queued(picture())
    await server.record(mine)
    server.has("the job", await _job(server, mine), {"previewable_outputs_count": 1})


async def _cancel(server: Probe, path: str, value: object = None) -> Any:
    answer = await server.post(f"/api/jobs/{path}", value)
    server.same("status", answer.status, 200)
    return answer.json().get("cancelled")


@check(_CANCEL, nodes=_SLOW, since="job-cancel")
async def cancel_running(server: Probe) -> None:
    """Cancelling a running job interrupts it."""
    async with server.busy() as running:
        await server.still_runs(running)
        server.same("cancelled", await _cancel(server, f"{running}/cancel"), True)
        record = await server.record(running)
    server.same("last message", record["status"]["messages"][-1][0], "execution_interrupted")


@check(_CANCEL, nodes=_SLOW, since="job-cancel")
async def cancel_pending(server: Probe) -> None:
    """Cancelling a pending job removes it: it is unknown afterwards and has no record; the running one goes on."""
    async with server.busy() as running:
        waiting = await server.queued(picture())
        server.same("cancelled", await _cancel(server, f"{waiting}/cancel"), True)
        await server.still_runs(running)
        server.same("status of the job", (await server.get(f"/api/jobs/{waiting}")).status, 404)
        server.same("record", await server.read(f"/history/{waiting}"), {})


@check(_CANCEL, nodes=_BASIC, since="job-cancel")
async def cancel_nothing(server: Probe) -> None:
    """Cancelling a finished or unknown job does nothing, which the answer says."""
    mine = await server.queued(picture())
    await server.record(mine)
    for name in (mine, server.new_id(), f"{PREFIX}-none"):
        server.same("cancelled", await _cancel(server, f"{name}/cancel"), False)
    server.has("the finished job", await _job(server, mine), {"status": "completed"})


@check("server.py: cancel_jobs_batch", nodes=_SLOW, since="job-cancel")
async def cancel_several(server: Probe) -> None:
    """Several jobs are cancelled at once; a body that does not list canonical UUIDs is 400 and cancels none."""
    async with server.busy() as running:
        waiting = [await server.queued(picture()) for _ in range(2)]
        for data, error in (
            (b"{nope", "Request body must be valid JSON"),
            (b"[]", "job_ids must be a list"),
            (b'{"job_ids": "x"}', "job_ids must be a list"),
        ):
            answer = await server.post("/api/jobs/cancel", data=data)
            server.same(f"status and error of {data!r}", (answer.status, answer.json().get("error")), (400, error))
        answer = await server.post("/api/jobs/cancel", {"job_ids": [*waiting, "abc"]})
        server.same("status with a bad id", answer.status, 400)
        refused = {"error": "job_ids contains invalid id(s)", "invalid_ids": ["abc"]}
        server.has("body with a bad id", answer.json(), refused)
        kept = [item[1] for item in (await server.listing())[1] if item[1] in waiting]
        server.same("still waiting", kept, waiting)
        server.same("cancelled", await _cancel(server, "cancel", {"job_ids": waiting}), True)
        server.same("cancelled again", await _cancel(server, "cancel", {"job_ids": waiting}), False)
        await server.still_runs(running)


@check(_CANCEL, before="job-cancel")
async def no_cancel(server: Probe) -> None:
    """Jobs cannot be cancelled: the route does not exist."""
    answer = await server.post(f"/api/jobs/{server.new_id()}/cancel")
    server.holds("status", answer.status in (404, 405), "404 or 405", answer.status)
