"""Routes for jobs: the list that the frontend shows, single jobs, and their cancellation.

They exist only under ``/api``. ComfyUI has had the list since 0.6.0, the cancellation since 0.26.0.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiohttp import web

from comfyui_emulator.execution.jobs import ORDERS, STATUSES, JobQuery
from comfyui_emulator.http.routes_prompt import is_canonical_uuid
from comfyui_emulator.server import Emulator, of

log = logging.getLogger("comfyui_emulator")

routes = web.RouteTableDef()


class JobQueryError(ValueError):
    """A query parameter of the list is wrong; the text is ComfyUI's."""


def _refused(text: str, status: int = 400, **more: list[str]) -> web.Response:
    return web.json_response({"error": text, **more}, status=status)


@routes.get("/api/jobs")
async def jobs(request: web.Request) -> web.Response:
    """The jobs that the query names, the newest first unless it says otherwise."""
    try:
        query = parse_query(request.rel_url.query)
    except JobQueryError as error:
        return _refused(str(error))
    found, total = of(request).queue.jobs(query)
    pagination = {
        "offset": query.offset,
        "limit": query.limit,
        "total": total,
        "has_more": query.offset + len(found) < total,
    }
    return web.json_response({"jobs": found, "pagination": pagination})


def parse_query(query: Mapping[str, str]) -> JobQuery:
    """The request for the list. Raises :class:`JobQueryError`."""
    statuses = [status for part in query.get("status", "").split(",") if (status := part.strip().lower())]
    unknown = [status for status in statuses if status not in STATUSES]
    if unknown:
        raise JobQueryError(f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(STATUSES)}")
    order, direction = query.get("sort_by", ORDERS[0]).lower(), query.get("sort_order", "desc").lower()
    if order not in ORDERS:
        raise JobQueryError("sort_by must be 'created_at' or 'execution_duration'")
    if direction not in ("asc", "desc"):
        raise JobQueryError("sort_order must be 'asc' or 'desc'")
    limit = _number(query, "limit")
    if limit is not None and limit <= 0:
        raise JobQueryError("limit must be a positive integer")
    return JobQuery(
        # A status of commas and spaces alone is a filter that nothing passes.
        statuses=frozenset(statuses if query.get("status") else STATUSES),
        workflow_id=query.get("workflow_id"),
        order=order,
        descending=direction == "desc",
        limit=limit,
        offset=max(0, _number(query, "offset") or 0),
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError as error:
        raise JobQueryError(f"{name} must be an integer") from error


@routes.get("/api/jobs/{job_id}")
async def job(request: web.Request) -> web.Response:
    """One job with its details."""
    found = of(request).queue.job(request.match_info["job_id"])
    return _refused("Job not found", 404) if found is None else web.json_response(found)


@routes.post("/api/jobs/{job_id}/cancel")
async def cancel_job(request: web.Request) -> web.Response:
    """Interrupt a running job, or remove a pending one; any other is left as it is."""
    return web.json_response({"cancelled": _cancel(of(request), request.match_info["job_id"])})


@routes.post("/api/jobs/cancel")
async def cancel_jobs(request: web.Request) -> web.Response:
    """Cancel several jobs, all or none: an id that is not a canonical UUID refuses the request."""
    try:
        data = await request.json()
    except ValueError:
        return _refused("Request body must be valid JSON")
    ids = data.get("job_ids") if isinstance(data, dict) else None
    if not isinstance(ids, list):
        return _refused("job_ids must be a list")
    wrong = [name if isinstance(name, str) else repr(name) for name in ids if not is_canonical_uuid(name)]
    if wrong:
        return _refused("job_ids contains invalid id(s)", invalid_ids=wrong)
    cancelled = [_cancel(of(request), name) for name in ids]
    return web.json_response({"cancelled": any(cancelled)})


def _cancel(emulator: Emulator, prompt_id: str) -> bool:
    """Whether there was something to cancel."""
    running = emulator.queue.running
    if running is not None and running.prompt_id == prompt_id:
        log.info("Cancelling running prompt %s", prompt_id)
        emulator.interrupt()
        return True
    if emulator.queue.delete(prompt_id):
        log.info("Cancelling pending prompt %s", prompt_id)
        return True
    return False
