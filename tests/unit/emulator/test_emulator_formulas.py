"""Expressions, numbers, logic and lists: facts measured on ComfyUI 0.33.0, and what the evaluator refuses."""

from __future__ import annotations

from typing import Any

import pytest

from comfyui_emulator.nodes import documents, formulas, logic, text
from comfyui_emulator.nodes.evaluator import ExpressionError, evaluate

N = Any
NAMES = {"a": 7, "b": 2.5, "c": 3}


def told(error: BaseException) -> str:
    """Type and text, as clients see them."""
    return f"{type(error).__module__}.{type(error).__qualname__}: {error}"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a / b * c - 1", (7.4, 7, True)),
        ("-a % 3", (2.0, 2, True)),
        ("a if b > 2 else c", (7.0, 7, True)),
        ("1 < a < 9 and not c == 3", (0.0, 0, False)),
        ("sum(values) + sum(a, c) + max(values)", (29.5, 29, True)),
        ("values[0] + values[-1] + sum(values[1:])", (15.5, 15, True)),
        ("round(b, ndigits=1) + int('12') + a.real", (21.5, 21, True)),
        ("a << 3 | 1 ^ 2 & 6", (59.0, 59, True)),
        ("3 in values and 'x' not in 'abc' and a is a", (1.0, 1, True)),
        ("x = a + 1", (8.0, 8, True)),
        ("a; b", (7.0, 7, True)),
        ("b - 2.5", (0.0, 0, False)),
    ],
)
def test_expressions(expression: str, expected: tuple[float, int, bool]) -> None:
    """An expression gives its value as a float, an integer and a switch."""
    assert formulas.calculate(expression, dict(NAMES)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("zz + 1", "simpleeval.NameNotDefined: 'zz' is not defined for expression 'zz + 1'"),
        ("len(values)", "simpleeval.FunctionNotDefined: Function 'len' not defined, for expression 'len(values)'."),
        ("a.nothing", "simpleeval.AttributeDoesNotExist: Attribute 'nothing' does not exist in expression 'a.nothing'"),
        ("[a]", "simpleeval.FeatureNotAvailable: Sorry, List is not available in this evaluator"),
        ("import os", "simpleeval.FeatureNotAvailable: Sorry, 'import' is not allowed."),
        ("(lambda: 1)()", "simpleeval.FeatureNotAvailable: Lambda Functions not implemented"),
        ("5000000 ** 2", "simpleeval.NumberTooHigh: Sorry! I don't want to evaluate 5000000 ** 2"),
        ("1 << 20000", "simpleeval.NumberTooHigh: Sorry! I don't want to evaluate 1 << 20000"),
        ("'x' * 200000", "simpleeval.IterableTooLong: Sorry, I will not evaluate something that long."),
        ("# nothing", "simpleeval.InvalidExpression: Sorry, cannot evaluate empty string"),
        ("  ", "builtins.ValueError: Expression cannot be empty."),
        ("pow(2, 4001)", "builtins.ValueError: Exponent 4001 exceeds maximum allowed (4000)"),
        ("'x'", "builtins.ValueError: Math Expression ''x'' must evaluate to a numeric result, got str: 'x'"),
        ("1e308 * 10", "builtins.ValueError: Math Expression '1e308 * 10' produced a non-finite result: inf"),
        ("1 / 0", "builtins.ZeroDivisionError: division by zero"),
    ],
)
def test_expressions_that_fail(expression: str, error: str) -> None:
    """Errors have the types and texts that ComfyUI reports."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the type is compared
        formulas.calculate(expression, dict(NAMES))

    assert told(raised.value) == error


class Secret:
    """An object that an expression must not look into."""

    value = 5


@pytest.mark.parametrize(
    "expression",
    [
        "a.value",
        "a.__class__",
        "(1).__class__",
        "'x'.join",
        "values.append",
        "max.__self__",
        "a.func_globals",
        "b.hex.x",
    ],
)
def test_attributes_of_objects_are_refused(expression: str) -> None:
    """Only public attributes of numbers can be read."""
    with pytest.raises(ExpressionError):
        evaluate(expression, {"a": Secret(), "b": 1.0, "values": [1]}, {"max": max})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, (1.0, 1)),
        (-2.9, (-2.9, -2)),
        (" 1e3 ", (1000.0, 1000)),
        ("1_000", (1000.0, 1000)),
        ("9" * 20, (1e20, 10**20 - 1)),
    ],
)
def test_numbers_are_converted(value: Any, expected: tuple[float, int]) -> None:
    """Numbers, switches and texts; an integer in a text keeps all its digits."""
    assert formulas.convert(value) == expected


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", "builtins.ValueError: Cannot convert empty string to number."),
        ("x", "builtins.ValueError: Cannot convert string to number: 'x'"),
        ("inf", "builtins.ValueError: Cannot convert non-finite value to number: inf"),
        (None, "builtins.TypeError: Unsupported input type: NoneType"),
        (float("inf"), "builtins.OverflowError: cannot convert float infinity to integer"),
    ],
)
def test_numbers_that_cannot_be_converted(value: Any, error: str) -> None:
    """Errors have the types and texts that ComfyUI reports."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the type is compared
        formulas.convert(value)

    assert told(raised.value) == error


def test_resolutions() -> None:
    """Both sides are rounded to the multiple, the nearer even one from the middle."""
    assert formulas.resolution("16:9 (Widescreen)", 1.0, 8) == (1368, 768)
    assert formulas.resolution("1:1 (Square)", 0.1, 128) == (384, 384)


def test_lists_are_flattened_in_the_order_of_the_inputs() -> None:
    """All values of all inputs, first those of the first."""
    assert logic.create_list({"input0": [1, 2], "input3": ["x"]}) == ([1, 2, "x"],)


@pytest.mark.parametrize(("switch", "shown"), [(True, "yes"), (False, "no")])
async def test_a_switch_runs_one_side(launch: N, switch: bool, shown: str) -> None:
    """The side that is not chosen does not run, even if it would fail."""
    failing = {"class_type": "StringFormat", "inputs": {"f_string": "{zz}"}}
    working = {"class_type": "StringFormat", "inputs": {"f_string": "{a}", "values.a": shown}}
    sides = {"on_true": ["2", 0], "on_false": ["3", 0]} if switch else {"on_true": ["3", 0], "on_false": ["2", 0]}
    graph = {
        "1": {"class_type": "ComfySwitchNode", "inputs": {"switch": switch, **sides}},
        "2": working,
        "3": failing,
        "4": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    async with launch() as emulator:
        _, record = await emulator.run(graph)

    assert record["outputs"]["4"]["text"] == [shown]


async def test_a_choice_of_the_frontend_is_not_checked(launch: N) -> None:
    """The node gets the inputs that only the frontend knows, and its choice may be anything."""
    inputs = {"choice": "b", "option1": "a", "option2": "b", "index": 1}
    shows = {k: {"class_type": "PreviewAny", "inputs": {"source": ["1", slot]}} for slot, k in enumerate("23")}
    async with launch() as emulator:
        _, record = await emulator.run({"1": {"class_type": "CustomCombo", "inputs": inputs}} | shows)

    assert [record["outputs"][k]["text"] for k in "23"] == [["b"], ["1"]]


@pytest.mark.parametrize(
    ("key", "expected"), [("a", "1"), ("b", ""), ("c", "{'d': [True, 'é']}"), ("missing", ""), ("e", "1.5")]
)
def test_values_of_keys(key: str, expected: str) -> None:
    """Values come in Python's spelling; ``null`` and what is missing are empty."""
    assert documents.extract('{"a": 1, "b": null, "c": {"d": [true, "é"]}, "e": 1.50}', key) == expected
    assert documents.extract("[1]", key) == documents.extract("{", key) == ""


def test_a_prompt_for_pictures() -> None:
    """Empty parts are left out, and the order of the keys follows the style."""
    (photo,) = documents.build_prompt([1], {"style": "photo", "photo": "35mm"}, "A cat.", "sky", color_palette=["#ab"])
    (plain,) = documents.build_prompt("x", {"style": "none"}, " ", "sky")

    assert list(photo["style_description"]) == ["aesthetics", "lighting", "photo", "medium", "color_palette"]
    assert photo["style_description"]["color_palette"] == ["#AB"]
    assert plain == {"compositional_deconstruction": {"background": "sky", "elements": []}}


def test_texts_are_formatted() -> None:
    """The whole of Python's format language is available; what is not connected is missing."""
    assert text.format_text({"a": 2.5, "b": "é"}, "{a:06.2f}|{b:>3}|{{}}") == "002.50|  é|{}"
    with pytest.raises(KeyError):
        text.format_text({}, "{a}")


async def test_texts_are_saved(launch: N) -> None:
    """Each format counts its own files on; JSON is written with indents if it is valid."""
    given = [("txt", "é"), ("json", '{"a":[1]}'), ("json", "{")]
    graph = {
        str(k): {"class_type": "SaveText", "inputs": {"text": content, "filename_prefix": f"t/{k}", "format": kind}}
        for k, (kind, content) in enumerate(given)
    }
    async with launch() as emulator:
        _, record = await emulator.run(graph)
        files = [record["outputs"][str(k)]["files"][0] for k in range(3)]
        contents = [(emulator.base / "output" / "t" / file["filename"]).read_text() for file in files]

    assert [file["filename"] for file in files] == ["0_00001.txt", "1_00001.json", "2_00001.json"]
    assert contents == ["é", '{\n  "a": [\n    1\n  ]\n}', "{"]
