"""Runs the checks one by one, and cleans up after each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import aiohttp

from comfyui_conformance.model import Check, Difference, Report, Result, Skip, all_checks
from comfyui_conformance.probe import Probe
from discomfort._json import JsonObject
from discomfort.exceptions import DiscomfortError, ServerConnectionError, ServerResponseError
from discomfort.redaction import split_credentials

_log = logging.getLogger("comfyui_conformance")

DEADLINE = 90.0
"""Time limit for one check in seconds. Checks that need a run in progress keep the server busy for a few seconds."""


async def run_checks(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    exclusive: bool = False,
    on_result: Callable[[Result], None] | None = None,
    on_check: Callable[[Check], None] | None = None,
) -> Report:
    """Run the checks against the server at ``url`` and return a report.

    ``headers`` are sent with every request, as are credentials in the URL; neither is shown. ``only`` holds shell-style
    patterns of names or areas. ``exclusive`` means that nobody else uses the server, and permits checks that would
    affect others. ``on_check`` and ``on_result`` are called before and after each check.

    The server's version, in ``/system_stats``, decides which checks apply. If the version is not known, or newer than
    the checks, the newest behaviour is expected, and ``report.rules`` says so.

    A check whose connection breaks, or that takes longer than :data:`DEADLINE`, differs; the others still run. Checks
    that need an idle server wait for other prompts in the queue, and are skipped if these take too long. Safe to
    cancel: prompts of the check in progress are removed from the server.

    Raises ServerConnectionError if nothing answers, ServerResponseError if the server is not ComfyUI,
    ValueError if ``only`` matches no check.
    """
    checks = all_checks(only)
    if not checks:
        raise ValueError(f"no check is called {', '.join(only)}; discomfort conformance --list names them")
    address, credentials = split_credentials(url)
    results = []
    async with aiohttp.ClientSession(headers={**credentials, **(headers or {})}) as session:
        system, classes = await _introduce(session, address)
        for one in checks:
            if on_check is not None:
                on_check(one)
            result = await _run(one, Probe(session, address, classes, system, exclusive=exclusive))
            results.append(result)
            if on_result is not None:
                on_result(result)
    return Report(address, system, results)


async def _introduce(session: aiohttp.ClientSession, address: str) -> tuple[JsonObject, frozenset[str]]:
    """The server's ``/system_stats`` and the names of its node classes."""
    found = []
    for path in ("/system_stats", "/object_info"):
        try:
            async with session.get(address + path, timeout=aiohttp.ClientTimeout(total=120)) as answer:
                body = await answer.text(errors="replace")
                value = await answer.json(content_type=None) if answer.status == 200 else None
        except ValueError:
            value = None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ServerConnectionError(f"no answer: {type(error).__name__}: {error}", url=address) from error
        if not isinstance(value, dict):
            raise ServerResponseError(
                "this is not ComfyUI", method="GET", url=address + path, status=answer.status, body=body
            )
        found.append(value)
    system = found[0].get("system")
    return system if isinstance(system, dict) else {}, frozenset(found[1])


async def _run(one: Check, probe: Probe) -> Result:
    begun = time.monotonic()

    def result(reason: str = "") -> Result:
        differences = tuple(probe.differences)
        status = "differs" if differences else "skipped" if reason else "conforms"
        return Result(one, status, differences, reason, time.monotonic() - begun)  # type: ignore[arg-type]

    if reason := one.why_not(probe.rules):
        return Result(one, "not-applicable", reason=reason)
    if one.exclusive and not probe.exclusive:
        return result("affects other users of the server; --exclusive runs it")
    missing = [name for name in one.nodes if name not in probe.classes]
    if missing:
        return result(f"the server has no {', '.join(missing)}")
    reason = ""
    try:
        async with asyncio.timeout(DEADLINE):
            await one.run(probe)
    except Skip as skip:
        reason = str(skip)
    except TimeoutError:
        probe.differences.append(Difference("the check", f"an end within {DEADLINE:g} s", "it was still waiting"))
    except (aiohttp.ClientError, OSError, DiscomfortError) as error:
        probe.differences.append(Difference("the connection", "answers", f"{type(error).__name__}: {error}"))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # The server's answer does not have the shape that the check expects.
        _log.debug("check %s could not read an answer", one.name, exc_info=True)
        probe.differences.append(Difference("an answer", "its usual shape", f"{type(error).__name__}: {error}"))
    finally:
        await probe.tidy()
    return result(reason)
