"""Faults on demand, with which clients of the emulator test how they cope with a failing server.

They are set as an object (``EmulatorConfig(faults=Faults(oom_at="3"))``), as flags (``--fault oom_at=3``), or in the
environment (``DISCOMFORT_FAULTS="oom_at=3 history_delay=0.5"``). The object of a running application may be changed at
any time (:func:`faults_of`), with immediate effect.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from comfyui_emulator.runtime import DeviceMemoryError

log = logging.getLogger("comfyui_emulator")

ENVIRONMENT_VARIABLE = "DISCOMFORT_FAULTS"


@dataclass(slots=True)
class Faults:
    """Faults to simulate, all off by default. Times are in seconds; nodes are named by id or by class.

    Start: ``start_delay`` waits before the port opens, ``exit_at_start`` ends the process with that code instead,
    ``never_listen`` keeps it alive without a port, ``never_answer`` opens the port but answers no request.

    Requests: ``answer_delay`` delays each answer, ``answer_status`` (500, say) replaces each answer,
    ``reject_uploads`` refuses uploads with that status.

    Nodes: ``crash_at`` kills the process with SIGKILL when that node begins, ``oom_at`` raises torch's out-of-memory
    error there, ``fail_at`` another error, ``node_delay`` makes every node take longer, ``hang_at`` never returns
    and ignores interrupts.

    Sockets: after ``drop_socket_after`` messages each socket is cut without a close frame, after ``stall_socket_after``
    it stays open and silent.

    History: a record is readable ``history_delay`` after the run's last message; with ``evict_history``, never. With
    ``unreadable_jobs``, ``/api/jobs`` fails as in ComfyUI (status 500) while one prompt has an ``extra_pnginfo``, or a
    ``workflow`` in it, that is not an object.
    """

    start_delay: float = 0.0
    exit_at_start: int | None = None
    never_listen: bool = False
    never_answer: bool = False
    answer_delay: float = 0.0
    answer_status: int | None = None
    reject_uploads: int | None = None
    crash_at: str | None = None
    oom_at: str | None = None
    fail_at: str | None = None
    hang_at: str | None = None
    node_delay: float = 0.0
    drop_socket_after: int | None = None
    stall_socket_after: int | None = None
    history_delay: float = 0.0
    evict_history: bool = False
    unreadable_jobs: bool = False

    @property
    def any(self) -> bool:
        """Whether any fault is on."""
        return self != Faults()

    async def before_node(self, node_id: str, class_type: str) -> None:
        """Apply the faults of a node that is about to run; raises the error that the node must raise."""
        names = (node_id, class_type)
        if self.crash_at in names:
            log.warning("fault: the process ends at node %s", node_id)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.node_delay:
            await asyncio.sleep(self.node_delay)
        if self.oom_at in names:
            raise DeviceMemoryError("Allocation on device")
        if self.fail_at in names:
            raise RuntimeError(f"fault: node {node_id} fails on request")
        if self.hang_at in names:
            # Waits in the event loop, where no interrupt is checked; only the end of the worker cancels it.
            await asyncio.Event().wait()


def parse_faults(settings: Iterable[str]) -> Faults:
    """Faults from ``name=value`` strings; the bare name of a switch turns it on. Raises ``ValueError`` for others."""
    known = {item.name: str(item.type) for item in fields(Faults)}
    values: dict[str, Any] = {}
    for setting in settings:
        name, given, value = setting.partition("=")
        if name not in known:
            raise ValueError(f"there is no fault {name!r}; the faults are {', '.join(known)}")
        kind = known[name]
        if not given and kind != "bool":
            raise ValueError(f"fault {name} needs a value: {name}=…")
        if kind == "bool":
            values[name] = value.lower() in ("", "1", "true", "yes", "on")
        elif "int" in kind:
            values[name] = int(value)
        elif kind == "float":
            values[name] = float(value)
        else:
            values[name] = value
    return Faults(**values)
