"""Rows of the comparison that are kept between runs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from benchmarks.parity import __main__ as parity
from benchmarks.parity import ends, kept, table
from benchmarks.parity.comparing import Row


def row(cases: int, *notes: str) -> Row:
    """So many equal cases, and one that differs for each note."""
    result = Row()
    for _ in range(cases):
        result.add(0)
    for note in notes:
        result.differs(note)
    return result


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    """With notes and other words; of a part of which some rows are made again, the others stay."""
    worded = row(1)
    worded.reworded("case", "ours", "theirs")
    kept.keep(tmp_path, "nodes", "0.33.0", {"A": row(2, "note"), "B": row(1)}, some=False)
    kept.keep(tmp_path, "nodes", "0.33.0", {"B": row(3)}, some=True)
    kept.keep(tmp_path, "values", "0.33.0", {"text": row(1)}, some=False)
    kept.keep(tmp_path, "values", "0.33.0", {"number": worded}, some=False)

    assert kept.read(tmp_path) == (
        "0.33.0",
        {"nodes": {"A": row(2, "note"), "B": row(3)}, "values": {"number": worded}},
    )
    assert kept.read(tmp_path / "nothing") == ("", {})


def test_what_is_kept_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is missing runs, and what is named."""
    started = []

    def run(*_: object) -> dict[str, Row]:
        started.append("options")
        return {}

    monkeypatch.setattr(parity, "other_settings", run)
    everything = {*parity.PARTS, parity.OPTIONS}
    options = argparse.Namespace(part=None, eviction=False, comfyui=Path("/nowhere"))
    assert list(parity.parts(options, everything)) == []
    options.part = [parity.OPTIONS]
    assert list(parity.parts(options, everything)) == [(parity.OPTIONS, {})]
    assert started == ["options"]


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["--keep", "x", "--part", "nodes", "--node", "A"], False),
        (["--keep", "x", "--part", "values", "--node", "A"], True),
        (["--keep", "x", "--part", "options", "--setting", "1"], True),
        (["--write", "--part", "nodes"], True),
    ],
)
def test_only_whole_parts_are_kept(monkeypatch: pytest.MonkeyPatch, words: list[str], refused: bool) -> None:
    """Rows of nodes are added one by one; a row of another part is of all its cases."""
    monkeypatch.setattr("sys.argv", ["parity", "--comfyui", "/nowhere", *words])
    if refused:
        with pytest.raises(SystemExit):
            parity.parse()
    else:
        assert parity.parse().node == "A"


def test_differences_are_listed_with_their_reason() -> None:
    """One that nobody has explained says so."""
    known = table.apart("Canny image of 1,8,8,1: differs by up to 255 (9.38% by more than 1)")
    other = table.apart("Other a|b: success, not error")
    assert re.fullmatch(r"- `Canny image of 1,8,8,1: differs .*`: on a ramp .*", known)
    assert other == r"- `Other a\|b: success, not error`: the reason is not known"


def test_the_time_of_a_file_is_not_compared() -> None:
    """Both servers get it at another moment, and errors quote prompts with it."""
    quoted = "{'1': {'inputs': {'file': 'a'}, 'is_changed': [1795909432.8244684]}}"
    assert ends.quoted(quoted) == quoted.replace("1795909432.8244684", "time")
    assert ends.quoted("tensor([1])") == "value"
    assert ends.quoted(5) == 5
