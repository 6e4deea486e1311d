"""Sweeps on a server: each result once, however often the program is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest, with_small_frontend
from contract.graphs import node, picture_prompt
from PIL import Image

from discomfort import ComfyConnector, SyncConnector

TESTS = Path(__file__).parents[1]
ROWS = 200
COLOR = "Source.color"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(engine: EngineUnderTest) -> AsyncIterator[ComfyConnector]:
    """A server of this file's own, so that all that it ran is known."""
    settings: Any = {**with_small_frontend(engine).settings, "browser": "lazy"}
    async with await ComfyConnector.launch(**settings) as connector:
        yield connector


class SweepProgram:
    """A process that runs the sweep. ``begun`` and ``ended`` are rows, in the order in which it printed them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.begun: list[int] = []
        self.ended: list[int] = []

    @classmethod
    async def start(cls, url: str, folder: Path) -> SweepProgram:
        """Start it."""
        paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        program = str(Path(__file__).with_name("sweep_program.py"))
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, program, url, str(folder),
                env={**os.environ, "PYTHONPATH": paths}, stdout=asyncio.subprocess.PIPE,
            )
        )  # fmt: skip

    async def read(self, count: int | None = None) -> None:
        """Read what it tells, until so many rows have ended, or until its end."""
        assert self.process.stdout is not None
        while count is None or len(self.ended) < count:
            line = await self.process.stdout.readline()
            if not line:
                return
            color, status, is_new = line.decode().split()
            if status == "waiting":
                self.begun.append(int(color))
            elif is_new == "1":
                self.ended.append(int(color))

    @property
    def running(self) -> set[int]:
        """The rows that had begun and not ended, as far as it told."""
        return set(self.begun) - set(self.ended)


async def runs_at(url: str) -> Counter[int]:
    """How often the server has run each colour."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/history?max_items=2000") as response:
        history = await response.json()
    prompts = [record["prompt"][2] for record in history.values()]
    inputs = [prompt.get("1", {}).get("inputs", {}) for prompt in prompts]
    return Counter(each["color"] for each in inputs if each.get("width") == 8 and isinstance(each.get("color"), int))


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="needs SIGKILL")
async def test_sweep_that_is_killed_five_times(server: ComfyConnector, tmp_path: Path) -> None:
    """200 results in the end, and nothing was made twice but what ran when the program was killed."""
    before = await runs_at(server.server_address)
    moments = random.Random().sample(range(1, 40), 5)
    signals = [signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]
    killed: list[set[int]] = []
    for moment, number in zip(moments, signals, strict=True):
        program = await SweepProgram.start(server.server_address, tmp_path)
        await program.read(moment)
        program.process.send_signal(number)
        await program.read()
        assert await program.process.wait() != 0
        killed.append(program.running)

    last = await SweepProgram.start(server.server_address, tmp_path)
    await last.read()
    assert await last.process.wait() == 0, moments
    assert last.running == set()

    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(f"Source.color={n}.png" for n in range(ROWS))
    for number in (0, 77, 199):
        with Image.open(tmp_path / f"Source.color={number}.png") as picture:
            assert picture.convert("RGB").getpixel((0, 0)) == (0, 0, number)
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["done"] * ROWS
    assert sorted(path.name for path in (tmp_path / ".sweep").iterdir()) == ["journal.jsonl", "lock"]

    made = await runs_at(server.server_address)
    made.subtract(before)
    assert set(+made) == set(range(ROWS))
    again = {color: count - 1 for color, count in made.items() if count > 1}
    for color, count in again.items():
        assert count <= sum(color in running for running in killed), (moments, again, killed)


async def test_failed_rows_and_errors_of_values(server: ComfyConnector, tmp_path: Path) -> None:
    """A row that the call refuses is a row, and so is one whose node raises; the others are made."""
    paint = await server.load(picture_prompt(size=8))

    report = await paint.grid({COLOR: [0xFFFFFF + 1, 5, "red"]}).run(tmp_path)

    assert [(row.status, row.error_type) for row in report] == [
        ("failed", "CallError"), ("done", None), ("failed", "CallError"),
    ]  # fmt: skip
    assert report.rows[1].server_seconds is not None
    assert [path.name for path in report.contact_sheets] == ["contact_sheet.jpg"]
    assert "red" in (tmp_path / "results.csv").read_text()


async def test_pictures_of_a_table(server: ComfyConnector, tmp_path: Path) -> None:
    """Files of a table are uploaded; renamed ones are not run again; outputs of calls are values."""
    invert = await server.load(
        {
            "1": node("LoadImage", "Photo", image="none.png"),
            "2": node("ImageInvert", image=["1", 0]),
            "3": node("PreviewImage", "Negative", images=["2", 0]),
        },
        {"inputs": {"photo": "Photo.image"}},
    )
    for number in range(2):
        Image.new("RGB", (8, 8), (255 * number, 0, 255)).save(tmp_path / f"{number}.png")
    (tmp_path / "t.csv").write_text("name,photo\nfirst,0.png\nsecond,1.png\n")
    report = await invert.table(tmp_path / "t.csv").run(tmp_path / "out")
    assert [path.name for path in report.files] == ["first.png", "second.png"]

    (tmp_path / "0.png").rename(tmp_path / "moved.png")
    result = await invert(photo=tmp_path / "moved.png")
    report = await invert.grid(photo=[tmp_path / "moved.png", result.negative]).run(tmp_path / "out")

    assert [row.is_new for row in report] == [False, True]
    with Image.open(report.files[1]) as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (0, 0, 255)


def test_sweep_without_await(server: ComfyConnector, tmp_path: Path) -> None:
    """``SyncSweep``: rows as they end, then the whole; leaving the loop frees the folder."""
    told: list[Any] = []
    with SyncConnector.attach(server.server_address, browser="lazy") as attached:
        sweep = attached.load(picture_prompt(size=8)).grid({COLOR: range(1000, 1006)})
        for row in sweep.rows(tmp_path):
            assert row.status == "done"
            break
        report = sweep.run(tmp_path, on_progress=told.append)
    assert len(report.done) == 6
    assert told[-1].ended == 6
    assert repr(sweep) == "<SyncSweep of workflow: 6 rows of Source.color>"
