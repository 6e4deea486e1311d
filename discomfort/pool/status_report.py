"""Makes the status of a pool from what its parts know."""

from __future__ import annotations

import time
from collections import Counter

from discomfort.pool.dispatcher import Dispatcher
from discomfort.pool.pool_status import PoolStatus, ServerStatus, TenantStatus
from discomfort.pool.scheduler import Policy, Scheduler
from discomfort.pool.server_slots import ServerSlot


def status_of(
    dispatcher: Dispatcher,
    scheduler: Scheduler,
    policy: Policy,
    *,
    began: float,
    done: int,
    failed: int,
    is_closing: bool,
) -> PoolStatus:
    """The status now; ``began`` is when the pool was made, by :func:`time.monotonic`."""
    waiting, running = Counter[str](), Counter[str]()
    for run in dispatcher.runs:
        (waiting if run.phase == "waiting" else running)[run.request.tenant] += 1
    tenants = sorted({*waiting, *running, *policy.weights})
    whole = sum(policy.weights.get(name, 1.0) for name in tenants) or 1.0
    return PoolStatus(
        servers=tuple(_server(slot, scheduler, began) for slot in dispatcher.slots.slots),
        tenants=tuple(
            TenantStatus(name, waiting[name], running[name], policy.weights.get(name, 1.0) / whole) for name in tenants
        ),
        waiting=waiting.total(),
        running=running.total(),
        done=done,
        failed=failed,
        is_closing=is_closing,
        seconds=time.monotonic() - began,
    )


def _server(slot: ServerSlot, scheduler: Scheduler, began: float) -> ServerStatus:
    use, profile, server = slot.use, slot.profile, slot.server
    is_in = slot.state in ("ready", "draining")
    held = scheduler.held_by(slot.name) if is_in else {}
    spent = use.useful + use.loading
    return ServerStatus(
        name=slot.name,
        state=slot.state,
        reason=slot.reason,
        url=profile.url,
        version=profile.version,
        device=profile.device,
        labels=dict(server.labels),
        vram=profile.vram,
        vram_free=profile.vram_free,
        models={str(model): size for model, size in held.items()},
        run_id=slot.run_id,
        runs=use.runs,
        loads=use.loads,
        deaths=use.deaths,
        useful=round(use.useful, 3),
        loading=round(use.loading, 3),
        idle=round(max(0.0, time.monotonic() - began - spent), 3),
    )
