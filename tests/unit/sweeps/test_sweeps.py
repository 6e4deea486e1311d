"""Sweeps: rows, names, resuming, failures, cancellation, tables and contact sheets, without a server."""

from __future__ import annotations

import asyncio
import csv
import errno
import json
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from discomfort import DiskFullError, FolderInUseError, Sweep, SweepError, SweepProgress
from discomfort.exceptions import PaidNode, PaidNodesError, RunError, ServerConnectionError
from discomfort.sweeps.contact_sheet import write_sheets
from discomfort.sweeps.sweep_folder import SweepFolder
from discomfort.sweeps.sweep_results import SweepFile, SweepResult
from discomfort.workflow.interface.parameters import Interface

from .fake_function import INTERFACE, PROMPT, FakeFunction, parameter, picture


def grid(function: FakeFunction, **values: Any) -> Sweep:
    return Sweep.of_grid(function, values)


def results(folder: Path) -> list[str]:
    """The names of the results."""
    return sorted(path.name for path in folder.glob("*.png"))


def files_of(folder: Path) -> list[str]:
    """Everything that is in the folder, for what must not be left there."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


async def test_grid(tmp_path: Path) -> None:
    """Every combination runs once; files are named by what differs, and the last name changes fastest."""
    function = FakeFunction()

    report = await grid(function, text="a dog", seed=range(2), cfg=[5, 7.5]).run(tmp_path, parallel=1)

    assert function.calls == [{"text": "a dog", "seed": s, "cfg": c} for s in (0, 1) for c in (5, 7.5)]
    assert results(tmp_path) == ["seed=0_cfg=5.png", "seed=0_cfg=7.5.png", "seed=1_cfg=5.png", "seed=1_cfg=7.5.png"]
    assert [(row.index, row.label, row.status, row.is_new) for row in report] == [
        (1, "seed=0 cfg=5", "done", True),
        (2, "seed=0 cfg=7.5", "done", True),
        (3, "seed=1 cfg=5", "done", True),
        (4, "seed=1 cfg=7.5", "done", True),
    ]
    assert report.rows[0].texts == {"Caption": "made 1"}
    assert report.files == [tmp_path / row.files[0].path.name for row in report]


async def test_done_rows_are_not_done_again(tmp_path: Path) -> None:
    """In another order, under another name, as a table, with more rows: only what is new runs."""
    first = FakeFunction()
    await grid(first, seed=range(3), cfg=[5, 6]).run(tmp_path)
    second = FakeFunction()

    # 7 is what the workflow has, so a row without cfg is the same as one with it.
    rows = [{"name": f"row {n}", "cfg": float(c), "seed": n} for c in (6, 5) for n in (2, 1, 0)] + [{"seed": 1}]
    report = await Sweep.of_table(second, [*rows, {"seed": 1, "cfg": 7}]).run(tmp_path)

    assert second.calls == [{"seed": 1}]
    assert [row.is_new for row in report] == [False] * 6 + [True] * 2
    assert report.rows[6].files == report.rows[7].files
    assert len(results(tmp_path)) == 7


async def test_content_of_files_counts_and_not_their_name(tmp_path: Path) -> None:
    """A picture that was renamed is the same; one with other content is not. So are bytes, arrays and pictures."""
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "b.png").write_bytes(picture(1))
    function, folder = FakeFunction(), tmp_path / "out"

    await grid(function, photo=[tmp_path / "a.png", str(tmp_path / "b.png"), picture(1)]).run(folder)
    assert len(function.calls) == 1

    array, made = np.zeros((4, 4, 3), np.uint8), Image.new("RGB", (4, 4))
    await grid(function, photo=[array, made, array.copy(), made.copy(), "on the server.png"]).run(folder)
    assert len(function.calls) == 4

    (tmp_path / "a.png").write_bytes(picture(2))
    await grid(function, photo=[tmp_path / "a.png"]).run(folder)
    assert len(function.calls) == 5


async def test_titles_do_not_count_and_the_workflow_does(tmp_path: Path) -> None:
    """The key is the prompt that runs: other titles are the same prompt, another value is not."""
    await grid(FakeFunction(), seed=[1, 2]).run(tmp_path)
    titled = {**PROMPT, "1": {**PROMPT["1"], "_meta": {"title": "Other"}}}
    again = FakeFunction(prompt=titled)
    await grid(again, seed=[1, 2]).run(tmp_path)
    assert again.calls == []

    changed = {**PROMPT, "1": {**PROMPT["1"], "inputs": {**PROMPT["1"]["inputs"], "cfg": 3}}}
    other = FakeFunction(prompt=changed)
    await grid(other, seed=[1, 2]).run(tmp_path)
    assert len(other.calls) == 2
    assert len(results(tmp_path)) == 4


async def test_names_are_contained_and_never_collide(tmp_path: Path) -> None:
    """Values make no folders, and no two rows share a file: not in another case, nor cut off, nor of our own files."""
    long = "x" * 300
    long_names = ["\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 100 + end for end in ("", "x")]
    texts = [*long_names, "../../etc", "a/b", "a\\b", "a b", "A_B", long + "1", long + "2", "con", "\n", "é", "."]
    report = await grid(FakeFunction(pictures=2), text=texts).run(tmp_path / "out")

    names = [file.name for file in report.files]
    assert len({name.casefold() for name in names}) == 2 * len(texts)
    assert all(file.parent == tmp_path / "out" and file.is_file() for file in report.files)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

    rows = [{"name": "results", "seed": 1}, {"name": "Contact_Sheet", "seed": 2}, {"name": "../x.y", "seed": 3}]
    report = await Sweep.of_table(FakeFunction(), rows).run(tmp_path / "out")
    assert [len(row.files) for row in report] == [1, 1, 1]
    assert report.files[2] == tmp_path / "out" / "_x.y.png"
    assert report.files[0].name.startswith("results_")


async def test_named_outputs_are_what_is_saved(tmp_path: Path) -> None:
    """They are in the files' names where there are several; other outputs are left out."""
    function = FakeFunction(pictures=4, named={"image": [0, 1], "mask": [2]})
    report = await grid(function, seed=[1, 2]).run(tmp_path)

    assert [file.path.name for file in report.rows[0].files] == [
        "seed=1_image.png", "seed=1_image_2.png", "seed=1_mask.png",
    ]  # fmt: skip
    assert [file.output for file in report.rows[0].files] == ["image", "image", "mask"]
    assert report.rows[0].texts == {}


async def test_outputs_of_other_calls_are_values(tmp_path: Path) -> None:
    """They count by content, whatever their prompt is, and those of a synchronous connector are read in its loop."""

    @dataclass
    class Made:
        content: bytes
        prompt_id: str = "p"
        filename: str = "made.png"

        async def read(self) -> bytes:
            return self.content

    first, same, other = Made(b"1"), Made(b"1", "q"), Made(b"2")
    typed = SimpleNamespace(outputs=(SimpleNamespace(read=None, prompt_id="p", output=other),))
    function = FakeFunction()
    report = await grid(function, photo=[first, same, other, typed]).run(tmp_path)
    assert len(function.calls) == 2
    assert report.rows[0].values["photo"]["file"] == "made.png"


async def test_values_by_selector(tmp_path: Path) -> None:
    """Inputs without a name are set by selector, as a call does."""
    (tmp_path / "t.csv").write_text("Sampler.seed,text\n3,1\n")
    function = FakeFunction()
    await Sweep.of_table(function, tmp_path / "t.csv", {"Sampler.cfg": [1, 2]}).run(tmp_path)
    assert function.calls == [{"Sampler.seed": 3, "text": "1", "Sampler.cfg": cfg} for cfg in (1, 2)]
    assert results(tmp_path) == ["Sampler.cfg=1.png", "Sampler.cfg=2.png"]


async def test_files_of_others_stay(tmp_path: Path) -> None:
    """A file of the same name is not replaced."""
    (tmp_path / "seed=1.png").write_text("mine")

    report = await grid(FakeFunction(pictures=2), seed=[1, 2]).run(tmp_path)

    assert (tmp_path / "seed=1.png").read_text() == "mine"
    assert [file.path.name for file in report.rows[0].files] == ["seed=1 (2).png", "seed=1 (2)_2.png"]
    assert [file.path.name for file in report.rows[1].files] == ["seed=2.png", "seed=2_2.png"]


async def test_deleted_file_is_made_again(tmp_path: Path) -> None:
    """A row whose file is gone is not done, and gets its name again."""
    await grid(FakeFunction(), seed=range(3)).run(tmp_path)
    (tmp_path / "seed=1.png").unlink()
    again = FakeFunction()

    await grid(again, seed=range(3)).run(tmp_path)

    assert again.calls == [{"seed": 1}]
    assert results(tmp_path) == ["seed=0.png", "seed=1.png", "seed=2.png"]


async def fail_on_odd(values: Mapping[str, Any]) -> None:
    if values["seed"] % 2:
        raise RunError(f"seed {values['seed']} is odd", prompt_id="p")


async def test_failed_row_is_a_row(tmp_path: Path) -> None:
    """The others are made; the next run tries the failed ones again."""
    report = await grid(FakeFunction(fail_on_odd), seed=range(4)).run(tmp_path)

    assert [row.status for row in report] == ["done", "failed", "done", "failed"]
    assert (report.failed[0].error, report.failed[0].error_type) == ("seed 1 is odd", "RunError")
    again = FakeFunction()
    report = await grid(again, seed=range(4)).run(tmp_path)
    assert again.calls == [{"seed": 1}, {"seed": 3}]
    assert report.failed == []


async def test_failed_row_raises_where_asked(tmp_path: Path) -> None:
    """With its own error and the row's place; what is under way is cancelled, what is done stays."""
    cancelled = []

    async def before(values: Mapping[str, Any]) -> None:
        if values["seed"] == 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(2)
                raise
        await fail_on_odd({"seed": 1 if values["seed"] == 1 and 0 in made else 0})
        made.append(values["seed"])

    made: list[int] = []
    with pytest.raises(RunError, match="is odd") as caught:
        await grid(FakeFunction(before), seed=[2, 0, 1, 4]).run(tmp_path, on_error="raise")

    assert caught.value.__notes__ == ["in row 3 of the sweep: seed=1"]
    assert cancelled == [2]
    assert results(tmp_path) == ["seed=0.png"]
    statuses = [json.loads(line)["status"] for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert statuses == ["waiting", "done", "failed", "waiting"]


async def test_all_values_are_checked_first_where_errors_are_raised(tmp_path: Path) -> None:
    """What is wrong with any row is told before the first one runs, with its place."""
    function = FakeFunction()
    with pytest.raises(SweepError) as caught:
        await grid(function, seed=[1, -1, -2]).run(tmp_path, on_error="raise")
    assert str(caught.value) == "fake: 2 wrong value(s): row 2: seed: takes 0 or more; row 3: seed: takes 0 or more"
    assert function.calls == []


@pytest.mark.parametrize(
    "error", [ServerConnectionError("refused", url="http://127.0.0.1:1"), PaidNodesError([PaidNode("1", "Paid")])]
)
async def test_what_all_rows_would_meet_ends_the_sweep(tmp_path: Path, error: Exception) -> None:
    """A lost server, or nodes that may not be paid, are no row's error."""

    async def lose(values: Mapping[str, Any]) -> None:
        if values["seed"] == 1:
            raise error

    function = FakeFunction(lose)
    with pytest.raises(type(error)):
        await grid(function, seed=range(50)).run(tmp_path, parallel=1)

    assert len(function.calls) == 2


async def test_cancelled_sweep_goes_on(tmp_path: Path) -> None:
    """The rows under way are cancelled before the call ends; the lock is free, and nothing of them is left."""
    reached, ended = asyncio.Event(), []

    async def before(values: Mapping[str, Any]) -> None:
        if values["seed"] >= 2:
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(values["seed"])

    task = asyncio.create_task(grid(FakeFunction(before), seed=range(6)).run(tmp_path))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 2 in ended
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 7
    assert list((tmp_path / ".sweep").glob("part-*")) == []

    again = FakeFunction()
    report = await grid(again, seed=range(6)).run(tmp_path)
    assert len(again.calls) == 4
    assert len(report.done) == 6


async def test_left_loop_ends_what_is_under_way(tmp_path: Path) -> None:
    """Leaving ``async for`` is an end as any other."""
    function = FakeFunction()
    async with aclosing(grid(function, seed=range(9)).rows(tmp_path, parallel=1)) as rows:
        async for row in rows:
            assert row.status == "done"
            break

    report = await grid(FakeFunction(), seed=range(9)).run(tmp_path)
    assert len(report.done) == 9
    assert len(results(tmp_path)) == 9


async def test_folder_in_use(tmp_path: Path) -> None:
    """A second sweep is refused with the process of the first; afterwards the folder is free."""
    reached, gate = asyncio.Event(), asyncio.Event()

    async def before(values: Mapping[str, Any]) -> None:
        reached.set()
        await gate.wait()

    task = asyncio.create_task(grid(FakeFunction(before), seed=[1]).run(tmp_path))
    await reached.wait()
    with pytest.raises(FolderInUseError, match="process .* runs a sweep in this folder"):
        await grid(FakeFunction(), seed=[2]).run(tmp_path)
    gate.set()
    await task
    await grid(FakeFunction(), seed=[2]).run(tmp_path)
    assert results(tmp_path) == ["seed=1.png", "seed=2.png"]


async def test_full_disk_ends_the_sweep(tmp_path: Path) -> None:
    """With a typed error; nothing half made is left, and the next run goes on."""

    async def fill(values: Mapping[str, Any]) -> None:
        if values["seed"] == 2:
            raise DiskFullError(tmp_path, "saving", number=errno.ENOSPC)

    with pytest.raises(DiskFullError):
        await grid(FakeFunction(fill), seed=range(5)).run(tmp_path, parallel=1)
    assert results(tmp_path) == ["seed=0.png", "seed=1.png"]

    again = FakeFunction()
    await grid(again, seed=range(5)).run(tmp_path)
    assert len(again.calls) == 3


async def test_progress(tmp_path: Path) -> None:
    """Each row begins and ends, with the events of its run between; what was there is told, too."""
    await grid(FakeFunction(), seed=[0]).run(tmp_path)
    told: list[SweepProgress] = []

    async def note(progress: SweepProgress) -> None:
        told.append(progress)

    await grid(FakeFunction(fail_on_odd), seed=range(3)).run(tmp_path, parallel=1, on_progress=note)

    seen = [(p.row.index, p.row.status, p.event and p.event.kind) for p in told]
    assert seen[0] == (1, "done", None)
    # The next row may begin before the end of the one before it is told.
    of_row = {index: [each[1:] for each in seen if each[0] == index] for index in (2, 3)}
    assert of_row[2] == [("waiting", None), ("waiting", "started"), ("failed", None)]
    assert of_row[3] == [("waiting", None), ("waiting", "started"), ("done", None)]
    assert (told[-1].done, told[-1].failed, told[-1].kept, told[-1].total) == (1, 1, 1, 3)
    assert told[0].left is None
    assert told[-1].left == 0


async def test_broken_callback_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged once."""

    def broken(progress: SweepProgress) -> None:
        raise KeyError("mine")

    report = await grid(FakeFunction(), seed=range(3)).run(tmp_path, on_progress=broken)

    assert len(report.done) == 3
    assert [record.message for record in caplog.records] == [
        "on_progress of the sweep raised; it receives no further events"
    ]


async def test_tables(tmp_path: Path) -> None:
    """Both have every row: values, times, prompt id, files, texts and error."""
    await grid(FakeFunction(fail_on_odd), seed=range(2), text="a, b\nc").run(tmp_path)

    with (tmp_path / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[:5] == ["index", "name", "seed", "text", "status"]
    assert [row["seed"] for row in rows] == ["0", "1"]
    assert rows[0]["text"] == "a, b\nc"
    assert (rows[0]["files"], rows[0]["Caption"], rows[0]["prompt_id"]) == ("seed=0.png", "made 1", "id-1")
    assert (rows[1]["status"], rows[1]["error"]) == ("failed", "seed 1 is odd")
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert lines[0]["files"] == [{"file": "seed=0.png", "output": "Image", "kind": "image"}]
    assert float(rows[0]["seconds"]) == lines[0]["seconds"]


async def test_contact_sheet(tmp_path: Path) -> None:
    """One line for each combination of the other names; failed rows and texts have a place, too."""
    report = await grid(FakeFunction(fail_on_odd), seed=range(4), cfg=[1, 2, 3]).run(tmp_path)

    (sheet,) = report.contact_sheets
    with Image.open(sheet) as opened:
        assert opened.size == (3 * 268 + 12, 4 * (256 + 54 + 12) + 12)
        colours = opened.getcolors(1 << 20)
        assert colours is not None
        assert len(colours) > 20
    assert "<table>" in report._repr_html_()


def test_sheets_of_many_results(tmp_path: Path) -> None:
    """Several where one would be too large; those of an earlier run are gone."""
    (tmp_path / "x.png").write_bytes(picture(1))
    file = SweepFile(tmp_path / "x.png", "Image", "image")
    rows = [
        SweepResult(index=n, name="x", label="text " * 40, values={}, key="k", status="done", files=(file,))
        for n in range(300)
    ]
    held = SweepFolder.open(tmp_path)
    names = [path.name for path in write_sheets(held, rows)]
    assert names == ["contact_sheet.jpg", "contact_sheet_2.jpg", "contact_sheet_3.jpg"]
    assert [path.name for path in write_sheets(held, rows[:150])] == names[:2]
    assert write_sheets(held, [replace(rows[0], status="waiting")]) == ()
    held.close()
    assert list(tmp_path.glob("*.jpg")) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"sed": [1]}, "the workflow has no input 'sed'"),
        ({"seed": []}, "seed: it has no values"),
        ({"seed": range(10**9)}, "seed: it has more than 100000 values"),
        ({"seed": range(1000), "cfg": range(1000)}, "cfg: the grid has more than 100000 rows"),
        ({"name": ["a"]}, "name: names of rows come from a table"),
    ],
)
def test_wrong_grids(values: dict[str, Any], told: str) -> None:
    """The error names the input."""
    with pytest.raises(SweepError) as caught:
        Sweep.of_grid(FakeFunction(), values)
    assert told in str(caught.value)


def test_what_has_several_values() -> None:
    """Lists, ranges, generators and rows of numbers; a text, bytes, a picture or a mapping is one value."""
    inputs = Interface(inputs={**INTERFACE.inputs, "steps": parameter("steps", "INT", "1.seed")})
    counts = {
        "seed": (n for n in range(3)), "cfg": np.linspace(1, 2, 4), "text": "abc", "photo": np.zeros((2, 2, 3)),
        "steps": np.int64(3),
    }  # fmt: skip
    assert len(Sweep.of_grid(FakeFunction(interface=inputs), counts)) == 12
    for single in (b"abc", Image.new("RGB", (1, 1)), Path("a.png"), {"a": 1}):
        assert len(Sweep.of_grid(FakeFunction(), {"photo": single})) == 1


@pytest.mark.parametrize(
    "options",
    [{"parallel": 0}, {"parallel": True}, {"on_error": "stop"}, {"on_progress": 3}, {"contact_sheet": "no"}],
)
async def test_wrong_arguments(tmp_path: Path, options: dict[str, Any]) -> None:
    """They are told by name before the folder is touched."""
    with pytest.raises(SweepError) as caught:
        await grid(FakeFunction(), seed=[1]).run(tmp_path / "out", **options)
    assert [caught.value.place] == list(options)
    assert files_of(tmp_path) == []


async def test_wrong_folder() -> None:
    """A number or an empty text in its place is told by name."""
    odd: Any = 3
    with pytest.raises(SweepError, match="folder: the path of a folder is needed, not 3"):
        await grid(FakeFunction(), seed=[1]).run(odd)
    with pytest.raises(SweepError, match="folder: the path of a folder is needed, not ''"):
        grid(FakeFunction(), seed=[1]).rows("")


async def test_values_that_cannot_be_read_are_rows_that_fail(tmp_path: Path) -> None:
    """A path that does not exist, and a value without a content that could be compared."""
    function = FakeFunction()
    report = await grid(function, photo=[tmp_path / "none.png", object(), picture(1)]).run(tmp_path / "out")

    assert [row.status for row in report] == ["failed", "failed", "done"]
    assert [row.error_type for row in report.failed] == ["FileNotFoundError", "UnsupportedValueError"]
    assert len(function.calls) == 1
