"""Values and names of batches: ranges, lists, CSV files and patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from discomfort.cli.inputs import UsageError
from discomfort.cli.output_names import SavedNames, read_pattern
from discomfort.cli.value_ranges import MOST_RUNS, Assignment, read_assignment, read_assignments
from discomfort.cli.variants import Variant, make_variants, read_csv, read_variants
from discomfort.exceptions import InputSelectorError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("7", [7]),
        ("0..3", [0, 1, 2, 3]),
        ("3..0", [3, 2, 1, 0]),
        ("-1..1", [-1, 0, 1]),
        ("0..100..25", [0, 25, 50, 75, 100]),
        ("0..9..4", [0, 4, 8]),
        ("0.5..1..0.25", [0.5, 0.75, 1.0]),
        ("0..0.3..0.1", [0.0, 0.1, 0.2, 0.3]),
        ("1..1", [1]),
        ("euler|heun", ["euler", "heun"]),
        ("1|2.5|true|x", [1, 2.5, True, "x"]),
        ("0..2|10..11", [0, 1, 2, 10, 11]),
        ("a|", ["a", ""]),
        (r"a\|b|c", ["a|b", "c"]),
        (r"C:\x\|y", [r"C:\x|y"]),
        ("C:\\", ["C:\\"]),
        (r"a\n|b", [r"a\n", "b"]),
        ("a {red|blue} fox", ["a {red|blue} fox"]),
        ("{a|b}|{c|d}", ["{a|b}", "{c|d}"]),
        ('"a|b"', ["a|b"]),
        ('"0..3"', ["0..3"]),
        ('"a"|"b"', ["a", "b"]),
        ("[1, 2]", [[1, 2]]),
        ("wait... what", ["wait... what"]),
        ("1...3", ["1...3"]),
        ("1..x", ["1..x"]),
        ("a=b", ["a=b"]),
        ("", [""]),
        ("NaN", ["NaN"]),
    ],
)
def test_values_of_set(text: str, values: list[Any]) -> None:
    """A range has both of its ends, a list its parts; JSON, braces and backslashes keep a value whole."""
    found = read_assignment(f"KSampler.seed={text}")

    assert found.selector == "KSampler.seed"
    assert list(found.values) == values
    assert [type(each) for each in found.values] == [type(each) for each in values]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a.b=0..9..0", "step of 0..9..0 must be more than 0"),
        ("a.b=0..9..-1", "must be more than 0"),
        ("a.b=0..9999999999", "10000000000 values; 100000 are allowed"),
        ("a.b=" + "|".join(["0..99999"] * 2), "more than 100000 values"),
    ],
)
def test_wrong_ranges(text: str, told: str) -> None:
    """The range is shown, nothing is guessed, and no list is made that would fill the memory."""
    with pytest.raises(UsageError, match=told):
        read_assignment(text)


def test_no_selector() -> None:
    """The error says what is expected."""
    with pytest.raises(InputSelectorError, match="NODE.INPUT=VALUE"):
        read_assignment("0..3")


def test_one_selector_twice() -> None:
    """Single values override each other, as they always did; a range beside another value is a mistake."""
    assert [each.values for each in read_assignments(["a.b=1", "a.b=2"])] == [(1,), (2,)]
    with pytest.raises(UsageError, match="given twice"):
        read_assignments(["a.b=1", "a.b=0..3"])


def test_combinations_are_nested_loops() -> None:
    """The last --set changes fastest, then the repetition."""
    variants = make_variants([Assignment("a.x", (1, 2)), Assignment("a.y", ("p", "q"))], [{}], 2)

    assert [(*variant.values.values(), variant.repeat) for variant in variants] == [
        (x, y, repeat) for x in (1, 2) for y in ("p", "q") for repeat in (1, 2)
    ]
    assert str(variants[0]) == "a.x=1, a.y=p"
    assert make_variants([], [{}], 1) == [Variant()]


def test_too_many_runs() -> None:
    """Two ranges that are fine alone multiply."""
    with pytest.raises(UsageError, match=f"1000000 runs are asked for; {MOST_RUNS} are allowed"):
        read_variants(["a.b=0..999", "a.c=0..999"], None, 1)


@pytest.mark.parametrize("repeat", [0, -1])
def test_repeat_is_a_count(repeat: int) -> None:
    """None at all is a mistake."""
    with pytest.raises(UsageError, match="at least 1"):
        read_variants([], None, repeat)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_rows_of_a_csv_file(tmp_path: Path, mark: str) -> None:
    """Columns are selectors; an empty cell leaves its input; quotes, blank lines and a byte order mark are as usual."""
    lines = [["KSampler.seed", "Positive.text"], ["1", '"a ""red"" fox"'], [], ["2", ""], ["3", '"two\nlines"']]
    text = "\r\n".join(mark.join(cells) for cells in lines)
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert read_csv(tmp_path / "a.csv") == [
        {"KSampler.seed": 1, "Positive.text": 'a "red" fox'},
        {"KSampler.seed": 2},
        {"KSampler.seed": 3, "Positive.text": "two\nlines"},
    ]


def test_rows_multiply_with_the_rest(tmp_path: Path) -> None:
    """Each row with each value; the row is known for messages."""
    (tmp_path / "a.csv").write_text("a.x\n1\n2\n")

    variants = read_variants(["a.y=p|q"], tmp_path / "a.csv", 1)

    assert [(variant.values, variant.row) for variant in variants] == [
        ({"a.x": 1, "a.y": "p"}, 2),
        ({"a.x": 1, "a.y": "q"}, 2),
        ({"a.x": 2, "a.y": "p"}, 3),
        ({"a.x": 2, "a.y": "q"}, 3),
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a first line with the names of the columns, and at least one row"),
        (b"a.b\n", "at least one row"),
        (b"a.b,seed\n1,2\n", "column 2 is 'seed', not a selector"),
        (b"a.b,a.b\n1,2\n", "two columns are named 'a.b'"),
        (b"a.b,\n1,2\n", "column 2 has cells and no name"),
        (b"a.b,a.c\n1\n", "line 2: 1 cells, and 2 columns"),
        (b"a.b\n1,2\n", "line 2: 2 cells, and 1 columns"),
        (b'a.b\n"x\n', "line 2: "),
        (b"a.b\n\xff\n", "byte 4 is not UTF-8"),
        (b"a.b\n1\n", "is a column of --csv and also given by --set"),
    ],
)
def test_wrong_csv_files(tmp_path: Path, content: bytes, told: str) -> None:
    """The message names the file or the selector, the line and the problem."""
    (tmp_path / "a.csv").write_bytes(content)

    with pytest.raises(UsageError, match=told):
        read_variants(["a.b=1"] if "also given" in told else [], tmp_path / "a.csv", 1)


FIELDS = {"workflow": "wf", "index": 7, "repeat": 1, "KSampler.seed": 42, "P.text": "a/../b", "10:3.cfg": 0.5}


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{workflow}-{KSampler.seed}-{index}", "wf-42-7"),
        ("{index:3}_{repeat:02}", "007_01"),
        ("{10:3.cfg}", "0.5"),
        ("{P.text}", "a_.._b"),
        ("sub/{workflow}/{index}", "sub/wf/7"),
        ("{{{index}}}", "{7}"),
        ("plain", "plain"),
        ("con", "_con"),
        ("a:b?", "a_b_"),
        ("x{P.text}/y", "xa_.._b/y"),
    ],
)
def test_names(pattern: str, name: str) -> None:
    """Fields are filled in; every part is safe on every system; a value makes no folder."""
    assert read_pattern(pattern).name(FIELDS.__getitem__) == name


def test_long_values_are_cut() -> None:
    """A prompt's text may be longer than a file's name."""
    assert len(read_pattern("{P.text}").name({"P.text": "x" * 500}.__getitem__)) == 60


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("{seed}", "there is no field {seed}; fields are {workflow}, {index}, {repeat} and {NODE.INPUT}"),
        ("{}", "there is no field {}"),
        ("{index", "a lone '{'; write {{"),
        ("index}", "a lone '}'"),
        ("", "must be a name"),
        ("  ", "must be a name"),
        ("../{index}", "below the output folder"),
        ("a/../../{index}", "below the output folder"),
        ("/tmp/{index}", "below the output folder"),
        ("a\\..\\b", "below the output folder"),
        ("a/", "must be a name"),
    ],
)
def test_wrong_patterns(pattern: str, told: str) -> None:
    """Refused before anything starts, also what would leave the folder."""
    with pytest.raises(UsageError) as caught:
        read_pattern(pattern)

    assert told in str(caught.value)


def test_selectors_of_a_pattern() -> None:
    """Only these need the workflow."""
    assert read_pattern("{workflow}{index:2}{a.b}{{x.y}}").selectors == ("a.b",)


def test_saved_names(tmp_path: Path) -> None:
    """By name without extension, below any folder; names with dots are whole."""
    for name in ("a.png", "cfg-0.5.png", "sub/b.webp", ".discomfort-1.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    saved = SavedNames(tmp_path)

    assert [name for name in ("a", "cfg-0.5", "cfg-0", "sub/b", "b", "a.png", "none/x") if name in saved] == [
        "a",
        "cfg-0.5",
        "sub/b",
    ]
