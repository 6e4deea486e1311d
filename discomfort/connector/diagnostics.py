"""The facts for a bug report: versions, states, settings, processes, events, log. No secrets.

Each section is collected separately: one that fails contains its problem instead, and the others are unaffected.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psutil

from discomfort._json import JsonObject
from discomfort.connector.event_log import EventLog
from discomfort.connector.recovery import Recovery
from discomfort.connector.resources import Resources, journal_directory
from discomfort.connector.states import Lifecycle
from discomfort.exceptions import DiscomfortError
from discomfort.redaction import redact_value, redact_words

_log = logging.getLogger("discomfort.connector.diagnostics")

_STATS_DEADLINE = 2.0
_LOG_LINES = 100
_PACKAGES = ("aiohttp", "comfyui-frontend-package", "orjson", "playwright", "psutil", "pydantic")


async def server_facts(parts: Resources) -> JsonObject:
    """The server's ``/system_stats``, requested with a deadline of 2 s, and what its version means for a client."""
    if parts.client is None:
        return {"problem": "not connected"}
    try:
        stats = await parts.client.rest.system_stats(deadline=_STATS_DEADLINE)
        features = await parts.client.features()
    except DiscomfortError as error:
        return {"problem": str(error)[:500]}
    system = stats.get("system")
    facts: JsonObject = dict(system) if isinstance(system, dict) else {}
    arguments = facts.get("argv")
    if isinstance(arguments, list):
        facts["argv"] = redact_words([str(word) for word in arguments])
    return {"system": facts, "devices": stats.get("devices"), "features": features.to_dict()}


def collect(
    parts: Resources, lifecycle: Lifecycle, recovery: Recovery, events: EventLog, server: JsonObject
) -> JsonObject:
    """All sections as JSON; ``server`` is :func:`server_facts`. Blocks for some milliseconds (processes, disks).

    Headers, credentials in URLs and command lines, the environment, prompts and outputs are not included.
    """
    sections: dict[str, Callable[[], object]] = {
        "versions": lambda: versions(parts),
        "state": lambda: _states(lifecycle, recovery),
        "settings": lambda: _settings(parts),
        "engine": lambda: _engine(parts),
        "server": lambda: server,
        "processes": lambda: _processes(parts),
        "browser": lambda: _browser(parts),
        "connections": lambda: _connections(parts),
        "runs": lambda: [{"prompt_id": run.prompt_id, "stage": run.stage} for run in _runs(parts)],
        "events": lambda: events.events,
        "log": lambda: list(parts.supervisor.log_tail(_LOG_LINES)) if parts.supervisor is not None else [],
        "disks": lambda: _disks(parts),
    }
    bundle: JsonObject = {"made": _moment(time.time())}
    for name, section in sections.items():
        try:
            bundle[name] = section()
        except Exception as error:  # noqa: BLE001 - the other facts are worth as much without this one
            _log.debug("diagnostics: section %s failed", name, exc_info=True)
            bundle[name] = {"problem": f"{type(error).__name__}: {error}"}
    cleaned = redact_value(bundle, parts.secrets)
    return cast("JsonObject", cleaned)


def versions(parts: Resources) -> JsonObject:
    """Versions of Python, the system, this package and its dependencies."""
    found: JsonObject = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for name in ("discomfort", *_PACKAGES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    found["frontend"] = frontend_version(parts.engine.front_end_root) if parts.engine is not None else None
    return found


def frontend_version(root: Path | None) -> str | None:
    """The version of the frontend in ``root``, the ``static`` folder of ``comfyui_frontend_package``."""
    if root is None:
        return None
    names = sorted(path.name for path in root.parent.parent.glob("comfyui_frontend_package-*.dist-info"))
    return names[-1].removeprefix("comfyui_frontend_package-").removesuffix(".dist-info") if names else None


def process_facts(pid: int, role: str) -> JsonObject:
    """One process in numbers: memory in bytes, CPU seconds, open descriptors, threads, children."""
    facts: JsonObject = {"role": role, "pid": pid}
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            facts |= {
                "started": _moment(process.create_time()),
                "status": process.status(),
                "rss": process.memory_info().rss,
                "cpu_seconds": round(times.user + times.system, 2),
                "threads": process.num_threads(),
                "command": redact_words(process.cmdline())[:40],
            }
        facts["open_files"] = process.num_fds() if hasattr(process, "num_fds") else None
        facts["children"] = len(process.children(recursive=True))
    except psutil.Error as error:
        facts["problem"] = f"{type(error).__name__}: {error}"
    return facts


def _states(lifecycle: Lifecycle, recovery: Recovery) -> JsonObject:
    return {
        "state": str(lifecycle.state),
        "transitions": [
            {"at": _moment(t.at), "from": str(t.before), "to": str(t.after), "reason": t.reason}
            for t in lifecycle.transitions
        ],
        "on_server_death": recovery.policy,
        "restarts_within_window": recovery.budget.used,
        "is_restarting": recovery.under_way,
        "next_restart_in": recovery.budget.free_in,
        "deaths": [str(error)[:2000] for error in recovery.budget.story],
    }


def _settings(parts: Resources) -> JsonObject:
    settings = parts.settings
    return {
        name: {"value": settings.shown(name), "source": settings.sources.get(name, "default")}
        for name in type(settings).model_fields
    }


def _engine(parts: Resources) -> JsonObject:
    if not parts.owned:
        return {
            "kind": "attached",
            "url": parts.url,
            "headers": len(parts.headers),
            "proxy": parts.route.proxy,
            "certificates": "not verified" if parts.route.ssl is False else "verified",
        }
    engine = parts.engine
    if engine is None:
        return {"kind": None}
    return {
        "kind": engine.kind,
        "reason": engine.reason,
        "command": redact_words(engine.argv),
        "cwd": str(engine.cwd),
        "python": engine.python,
        "folders": {name: str(getattr(engine.folders, name)) for name in ("base", "input", "output", "temp", "models")},
        "url": parts.url,
        "contexts": None if parts.probe is None else [str(path.parent) for path in parts.probe.paths],
    }


def _processes(parts: Resources) -> list[JsonObject]:
    found = [process_facts(os.getpid(), "this")]
    if parts.supervisor is not None:
        found.append(process_facts(parts.supervisor.pid, "server") | {"supervisor": repr(parts.supervisor)})
    if parts.watchdog is not None and parts.watchdog.pid:
        found.append(process_facts(parts.watchdog.pid, "watchdog"))
    return found


def _browser(parts: Resources) -> JsonObject:
    if parts.converter is None:
        return {"is_running": False}
    converter = parts.converter
    return {"is_running": converter.healthy, "converter": repr(converter), "conversions": converter.counts}


def _connections(parts: Resources) -> JsonObject:
    client = parts.client
    if client is None:
        return {"is_open": False}
    return {"is_open": True, "socket_connected": client.connected, "client": repr(client)}


def _runs(parts: Resources) -> Iterable[Any]:
    return parts.client.runs if parts.client is not None else ()


def _disks(parts: Resources) -> list[JsonObject]:
    folders = [Path(tempfile.gettempdir()), journal_directory().parent]
    if parts.engine is not None:
        folders += [parts.engine.folders.output, parts.engine.folders.temp]
    found = []
    for folder in dict.fromkeys(folders):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        usage = shutil.disk_usage(existing)
        found.append({"path": str(folder), "total": usage.total, "free": usage.free})
    return found


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
