"""Server processes: which engine to run, on which port, and how to start, watch and end it.

``engines`` decides what runs, ``ports`` where, ``launcher`` starts it, ``supervisor`` owns it, ``probes`` tells when it
is ready, and ``watchdog`` ends it when our own process can not.
"""

from __future__ import annotations

from discomfort.process.engines import Engine, EngineRequest, Folders, resolve_engine
from discomfort.process.launcher import ServerCommand, spawn
from discomfort.process.ports import PortLease, lease_port
from discomfort.process.probes import responds, start_budget, wait_until_ready
from discomfort.process.supervisor import ExitStatus, Supervisor
from discomfort.process.watchdog import Watchdog

__all__ = [
    "Engine",
    "EngineRequest",
    "ExitStatus",
    "Folders",
    "PortLease",
    "ServerCommand",
    "Supervisor",
    "Watchdog",
    "lease_port",
    "resolve_engine",
    "responds",
    "spawn",
    "start_budget",
    "wait_until_ready",
]
