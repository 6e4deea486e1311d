"""The checks of a server: the emulator passes them, and each kind of deviation is found."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from unit.conformance.deviations import DEVIATIONS, deviating_app
from waiting import until

from comfyui_conformance import all_checks, probe, run_checks, runner
from comfyui_conformance.changes import OLDEST
from comfyui_conformance.model import AREAS, Check, Difference, Report, Result, shown
from comfyui_conformance.pictures import chunks, facts, first_pixel, png
from comfyui_emulator import EmulatorConfig, create_app, faults_of
from discomfort.exceptions import ServerConnectionError, ServerResponseError


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """The address of an application while the block runs."""
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[tuple[web.Application, str]]:
    """An emulator and its address."""
    app = create_app(EmulatorConfig(base_directory=tmp_path / "base", max_upload_size=1))
    async with serving(app) as url:
        yield app, url


async def _queue(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/queue") as answer:
        return await answer.json()


async def test_the_emulator_conforms(emulator: tuple[web.Application, str], tmp_path: Path) -> None:
    """On a server of our own every check of its version passes, none is skipped, and only known files are left."""
    _, url = emulator
    seen: list[Any] = []

    report = await run_checks(url, exclusive=True, on_check=seen.append, on_result=seen.append)

    assert [
        (r.check.name, [str(d) for d in r.differences], r.reason)
        for r in report.results
        if r.status != ("not-applicable" if r.check.why_not(report.rules) else "conforms")
    ] == []
    assert report.ok
    assert report.rules.doubt == ""
    assert len(report.results) == len(all_checks()) == len(seen) / 2
    assert await _queue(url) == {"queue_running": [], "queue_pending": []}
    files = [path for path in (tmp_path / "base" / "input").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["discomfort-conformance.png"]
    assert not [path for path in (tmp_path / "base" / "user").rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", DEVIATIONS)
async def test_deviations_are_found(tmp_path: Path, name: str) -> None:
    """Each deviation is found by the checks for it, and by no others of their area."""
    expected = DEVIATIONS[name][3]
    area = expected[0].partition(".")[0]

    async with serving(deviating_app(tmp_path, name)) as url:
        report = await run_checks(url, only=[area], exclusive=True)

    assert tuple(result.check.name for result in report.of("differs")) == expected
    assert not report.ok


async def test_what_touches_others_is_left_out(emulator: tuple[web.Application, str]) -> None:
    """Without --exclusive the exclusive checks are skipped, with the reason."""
    _, url = emulator

    report = await run_checks(url, only=["*.clear", "interrupting.empty-*"])

    assert {result.status for result in report.results} == {"skipped"}
    assert len(report.results) == 5
    assert report.ok
    assert "--exclusive" in report.results[0].reason


async def test_a_busy_server(emulator: tuple[web.Application, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts of others are left alone, and checks that need an idle server are skipped."""
    app, url = emulator
    theirs = str(uuid.uuid4())
    monkeypatch.setattr(probe, "OTHERS", 0.1)
    faults_of(app).hang_at = "EmptyImage"
    prompt = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    async with aiohttp.ClientSession() as session:
        await session.post(f"{url}/prompt", json={"prompt": prompt, "prompt_id": theirs})
    report = await run_checks(url, only=["queueing.listing"])

    assert [result.reason for result in report.results] == ["other prompts are queued on the server"]
    assert [item[1] for item in (await _queue(url))["queue_running"]] == [theirs]


async def test_missing_nodes_skip(tmp_path: Path) -> None:
    """Checks that need a missing node class are skipped."""
    async with serving(create_app(EmulatorConfig(base_directory=tmp_path))) as url:
        (check,) = all_checks(["files.loaded-from-temp"])
        odd = Check("files.odd", "", "", check.run, nodes=("NoSuchNode",))
        async with aiohttp.ClientSession() as session:
            result = await runner._run(odd, probe.Probe(session, url, frozenset({"LoadImage"})))

    assert (result.status, result.reason) == ("skipped", "the server has no NoSuchNode")


async def test_a_check_has_a_deadline(emulator: tuple[web.Application, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that never ends differs, and the next one runs."""
    app, url = emulator
    faults_of(app).evict_history = True
    monkeypatch.setattr(runner, "DEADLINE", 0.5)

    report = await run_checks(url, only=["history.texts", "history.unknown"])

    assert [result.status for result in report.results] == ["conforms", "differs"]
    assert "it was still waiting" in str(report.results[1].differences[0])


async def test_a_server_that_goes_away() -> None:
    """A broken connection is a difference; the other checks run."""
    app = web.Application()

    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def introduce(_: web.Request) -> web.Response:
        return web.json_response({"system": {}})

    app.router.add_get("/{path:(system_stats|object_info)}", introduce)
    app.router.add_get("/{path:.*}", cut)
    async with serving(app) as url:
        report = await run_checks(url, only=["routes.queue-length"])

    assert [difference.what for difference in report.results[0].differences] == ["the connection"]


async def test_no_server() -> None:
    """If nothing answers, the error names the address without its credentials."""
    with pytest.raises(ServerConnectionError, match=r"http://127\.0\.0\.1:1: no answer") as caught:
        await run_checks("http://me:geheim@127.0.0.1:1")

    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("answer", ["<html>", "[]", "null"])
async def test_not_comfyui(answer: str) -> None:
    """A server that answers without a JSON object is not ComfyUI."""
    app = web.Application()

    async def respond(_: web.Request) -> web.Response:
        return web.Response(text=answer)

    app.router.add_get("/{path:.*}", respond)
    async with serving(app) as url:
        with pytest.raises(ServerResponseError, match="this is not ComfyUI"):
            await run_checks(url)


async def test_unknown_patterns() -> None:
    """A pattern that matches no check is refused before any request."""
    with pytest.raises(ValueError, match="no check is called nothing"):
        await run_checks("http://127.0.0.1:1", only=["nothing"])


async def test_cancelling_takes_the_prompt_off(emulator: tuple[web.Application, str]) -> None:
    """A check that is cancelled leaves no prompt on the server."""
    app, url = emulator
    faults_of(app).node_delay = 0.3
    begun = asyncio.Event()
    task = asyncio.create_task(run_checks(url, only=["history.texts"], on_check=lambda _: begun.set()))
    await begun.wait()

    async def is_running() -> bool:
        return bool((await _queue(url))["queue_running"])

    await until(is_running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await _queue(url) == {"queue_running": [], "queue_pending": []}


def test_every_check_says_what_it_expects() -> None:
    """Names are unique and in a known area; each check has a sentence and a place in ComfyUI."""
    checks = all_checks()

    assert len({check.name for check in checks}) == len(checks) > 100
    assert {check.area for check in checks} == set(AREAS)
    assert [check.name for check in checks if not check.expects.endswith(".") or not check.source] == []


_AS_OLDEST = f"it is checked as {OLDEST}"


def test_the_report_as_json() -> None:
    """A report is one JSON document, with counts and each result."""
    check = Check("a.b", "Is so.", "server.py", _nothing)
    results = [Result(check, "differs", [Difference("x", "1", "2")]), Result(check, "skipped", reason="r")]
    report = Report("u", {"comfyui_version": "0.1"}, results)
    told = json.loads(json.dumps(report.as_json()))

    counts = {"conforms": 0, "differs": 1, "skipped": 1, "not-applicable": 0}
    assert (told["ok"], told["counts"]) == (False, counts)
    assert (told["follows"], told["doubt"]) == (OLDEST, f"ComfyUI 0.1 is older than the checks know; {_AS_OLDEST}")
    assert told["results"][0]["differences"] == [{"what": "x", "expected": "1", "found": "2"}]
    assert str(report.results[0].differences[0]) == "x: expected 1, found 2"


async def _nothing(_: object) -> None:
    return


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", "'a'"), (b"ab", "2 bytes b'ab'"), ({"ü": 1}, '{"ü": 1}'), ([1] * 900, None), (float("nan"), "NaN")],
)
def test_values_are_shown_short(value: object, expected: str | None) -> None:
    """A difference shows a value readably, and never a megabyte of it."""
    text = shown(value)

    assert text == expected if expected else text.endswith("characters)")
    assert len(text) < 400


@pytest.mark.parametrize(("pixel", "kind"), [((1, 2, 3), 2), ((1, 2, 3, 4), 6)])
def test_pictures(pixel: tuple[int, ...], kind: int, tmp_path: Path) -> None:
    """Pillow reads the pictures that are written here, and the other way round."""
    import io

    from PIL import Image

    made = png(*pixel, text="t")
    read = Image.open(io.BytesIO(made))
    buffer = io.BytesIO()
    read.save(buffer, "PNG")

    assert (read.size, read.getpixel((0, 0)), read.text) == ((4, 4), pixel, {"note": "t"})  # type: ignore[attr-defined]
    assert (facts(buffer.getvalue()), first_pixel(buffer.getvalue())) == ((4, 4, kind), pixel)
    assert ("tEXt", b"note\0t") in chunks(made)
    with pytest.raises(ValueError, match="no PNG"):
        chunks(b"GIF89a")
