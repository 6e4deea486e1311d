"""Tables of values: CSV as spreadsheets write it, JSON lines, and what is neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from discomfort import Sweep, SweepError
from discomfort.sweeps.sweep_rows import typed

from .fake_function import FakeFunction, parameter, picture


def test_csv_table(tmp_path: Path) -> None:
    """Cells have the type of their input; paths are relative to the table; a name column names rows."""
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "t.csv").write_text("name;seed;text;photo\nfirst;3;007;a.png\n;4;null;elsewhere.png\n\n;;x;\n")

    sweep = Sweep.of_table(FakeFunction(), tmp_path / "t.csv", {"cfg": [1, 2]})

    assert [(row.name, dict(row.values)) for row in sweep._rows][::2] == [
        ("first", {"seed": 3, "text": "007", "photo": tmp_path / "a.png", "cfg": 1}),
        ("", {"seed": 4, "text": "null", "photo": "elsewhere.png", "cfg": 1}),
        ("", {"text": "x", "cfg": 1}),
    ]
    assert repr(sweep) == "<Sweep of fake: 6 rows of seed, text, photo, cfg>"


@pytest.mark.parametrize(
    "content",
    [
        "seed,text\n1,a\n",
        "\ufeffseed;text\r\n1;a\r\n",
        "sep=;\r\nseed;text\r\n1;a\r\n",
        '"sep=|"\nseed|text\n1|a\n',
        'seed;"text"\n1;"a"\n',
        "seed,text,,\n1,a,,\n,,,\n",
        "seed,,text\n1,,a\n",
        "\nseed,text\n1,a,\n",
    ],
)
def test_csv_of_spreadsheets(tmp_path: Path, content: str) -> None:
    """A mark at the beginning, a line that names the separator, and columns and lines that are empty."""
    (tmp_path / "t.csv").write_text(content, newline="")

    (row,) = Sweep.of_table(FakeFunction(), tmp_path / "t.csv")._rows

    assert dict(row.values) == {"seed": 1, "text": "a"}


def test_separator_inside_of_a_name(tmp_path: Path) -> None:
    """What is in quotation marks does not separate."""
    (tmp_path / "t.csv").write_text('"KSampler.a, b";seed\nx;1\n')

    (row,) = Sweep.of_table(FakeFunction(), tmp_path / "t.csv")._rows

    assert dict(row.values) == {"KSampler.a, b": "x", "seed": 1}


def test_choice_after_a_blank() -> None:
    """A choice is found without the blanks around it, and a choice that has blanks is itself."""
    method = parameter("method", "COMBO", "1.seed", choices=("area", " area", "box"))

    assert [typed(text, method) for text in (" area", "area ", " box", "b ox")] == [" area", "area", "box", "b ox"]


def test_json_lines(tmp_path: Path) -> None:
    """Values are as they are; null leaves the input as it is."""
    (tmp_path / "t.jsonl").write_text('{"seed": 1, "text": "1\u2028"}\n\n{"seed": null, "cfg": 2.5}\n')

    rows = Sweep.of_table(FakeFunction(), str(tmp_path / "t.jsonl"))._rows

    assert [dict(row.values) for row in rows] == [{"seed": 1, "text": "1\u2028"}, {"cfg": 2.5}]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "seed,sed\n1,2\n", "a.csv, line 1: the workflow has no input 'sed'. Its inputs are seed"),
        ("a.csv", "seed,seed\n1,2\n", "two columns are named 'seed'"),
        ("a.csv", "seed,cfg\n1\n", "line 2: 1 cells, and 2 columns"),
        ("a.csv", "seed\n", "at least one row"),
        ("a.csv", "seed,\n1,2\n", "column 2 has cells and no name"),
        ("a.csv", 'sep=;\nseed\n"1\n', "line 3: unexpected end of data"),
        ("a.json", '[{"seed": 1}]', "a.json: a table is CSV, or JSON lines"),
        ("a.jsonl", '{"seed": 1}\n[]\n', "a.jsonl, line 2: an object is needed, not list"),
        ("a.jsonl", "{\n", "line 1: not JSON"),
        ("a.jsonl", '{"sed": 1}', "a.jsonl, line 1: the workflow has no input 'sed'"),
        ("a.jsonl", "\n", "it has no rows"),
    ],
)
def test_wrong_tables(tmp_path: Path, name: str, content: str, told: str) -> None:
    """The error names the file, the line and what is wrong."""
    (tmp_path / name).write_text(content)
    with pytest.raises(SweepError) as caught:
        Sweep.of_table(FakeFunction(), tmp_path / name)
    assert told in str(caught.value)


def test_tables_of_other_kinds(tmp_path: Path) -> None:
    """Something else than a table is named, and so is the remedy for another encoding."""
    (tmp_path / "t.csv").write_text("seed\n1\n", encoding="utf-16")
    with pytest.raises(SweepError, match="Save the table as UTF-8"):
        Sweep.of_table(FakeFunction(), tmp_path / "t.csv")
    for source in (5, None):
        with pytest.raises(SweepError, match="a file or rows are needed, not "):
            Sweep.of_table(FakeFunction(), source)  # type: ignore[arg-type]
