"""``discomfort pool status``: the pools of this user on this machine, as tables or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from discomfort.cli.exit_codes import OK
from discomfort.cli.terminal import Terminal, clean
from discomfort.pool.status_socket import ToldPool, running_pools

_EVERY = 1.0
"""Seconds from one look to the next."""
_MOST_MODELS = 6
_STATES = {"ready": "green", "starting": "yellow", "draining": "yellow", "lost": "bold red", "closed": "dim"}


def status_command(terminal: Terminal, *, watch: bool, as_json: bool) -> int:
    """Show them, once or until Ctrl-C, and return the exit code."""
    if not watch:
        pools = running_pools()
        if as_json:
            terminal.write_json([as_document(pool) for pool in pools])
        elif pools:
            terminal.show(tables(pools))
        else:
            terminal.note("no pool runs on this machine")
        return OK
    try:
        _watch(terminal, as_json=as_json)
    except KeyboardInterrupt:
        # The way in which it is ended.
        return OK
    return OK


def as_document(pool: ToldPool) -> dict[str, Any]:
    """One pool in the form of ``--json``."""
    return {"pid": pool.pid, "program": pool.program, "status": pool.status, "problem": pool.problem or None}


def tables(pools: Sequence[ToldPool]) -> RenderableType:
    """Each pool with its servers and tenants."""
    if not pools:
        return Text("no pool runs on this machine")
    shown: list[RenderableType] = []
    for pool in pools:
        if shown:
            shown.append(Text())
        shown += _pool(pool)
    return Group(*shown)


def _watch(terminal: Terminal, *, as_json: bool) -> None:
    if as_json or not terminal.out_is_terminal:
        while True:
            pools = running_pools()
            if as_json:
                terminal.write(json.dumps([as_document(pool) for pool in pools], ensure_ascii=False) + "\n")
            else:
                terminal.show(Group(tables(pools), Text()))
            time.sleep(_EVERY)
    with Live(tables(running_pools()), console=terminal.out, auto_refresh=False) as live:
        while True:
            time.sleep(_EVERY)
            live.update(tables(running_pools()), refresh=True)


def _pool(pool: ToldPool) -> list[RenderableType]:
    head = f"{pool.program or 'a program'}, process {pool.pid}" if pool.pid else "a pool"
    if pool.status is None:
        return [Text(clean(f"{head}: {pool.problem}"), style="yellow")]
    status = pool.status
    counts = ", ".join(f"{status[name]} {name}" for name in ("waiting", "running", "done", "failed"))
    loads = f"{status['loads']} models loaded" if status["loads"] != 1 else "1 model loaded"
    closing = ", closing" if status.get("is_closing") else ""
    found: list[RenderableType] = [
        Text.assemble((clean(head), "bold"), f", for {_seconds(status['seconds'])}{closing}"),
        Text(f"{counts}; {loads}; {_shares(status)}"),
        _servers(status["servers"]),
    ]
    if status["tenants"]:
        found.append(_tenants(status["tenants"]))
    return found


def _servers(servers: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Server", style="cyan", overflow="fold", min_width=6)
    table.add_column("State", overflow="fold", min_width=8, max_width=30)
    table.add_column("Models", overflow="fold", min_width=6)
    table.add_column("VRAM", justify="right", no_wrap=True)
    for name in ("Runs", "Loads", "Useful", "Loading", "Idle"):
        table.add_column(name, justify="right", no_wrap=True)
    for server in servers:
        state = str(server["state"])
        table.add_row(
            Text(clean(str(server["name"]))),
            Text(clean(_state(server)), style=_STATES.get(state, "")),
            Text(clean(_models(server["models"]))),
            _memory(server["vram"], server["vram_free"]),
            *(str(server[name]) for name in ("runs", "loads")),
            *(_seconds(server[name]) for name in ("useful", "loading", "idle")),
        )
    return table


def _state(server: Mapping[str, Any]) -> str:
    told = str(server["state"])
    if server["reason"]:
        told += f": {server['reason']}"
    if server["run_id"]:
        told += f", run {str(server['run_id'])[:8]}"
    return told + (f", died {server['deaths']}x" if server["deaths"] else "")


def _tenants(tenants: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Tenant", style="cyan", overflow="fold")
    for name in ("Waiting", "Running", "Share"):
        table.add_column(name, justify="right", no_wrap=True)
    for tenant in tenants:
        row = (str(tenant["waiting"]), str(tenant["running"]), f"{tenant['share']:.0%}")
        table.add_row(Text(clean(str(tenant["name"]))), *row)
    return table


def _models(models: Mapping[str, int]) -> str:
    names = [PurePosixPath(name).name for name in models]
    more = f" and {len(names) - _MOST_MODELS} more" if len(names) > _MOST_MODELS else ""
    return ", ".join(names[:_MOST_MODELS]) + more


def _memory(whole: int, free: int) -> str:
    return f"{(whole - free) / 1e9:.1f}/{whole / 1e9:.0f} GB" if whole else ""


def _shares(status: Mapping[str, Any]) -> str:
    """Where the servers' time went."""
    spent = {name: float(status[name]) for name in ("useful", "loading", "idle")}
    whole = sum(spent.values())
    return ", ".join(f"{value / whole:.0%} {name}" for name, value in spent.items()) if whole else "no time yet"


def _seconds(value: float) -> str:
    if value < 100:
        return f"{value:.0f} s"
    minutes = value / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
