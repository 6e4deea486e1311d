"""Cases of nodes that decide, choose, calculate and collect (since ComfyUI 0.4)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Builder, Case, Source, case, made

INTEGER, FRACTION = made("PrimitiveInt", value=7), made("PrimitiveFloat", value=2.5)
WORD = made("PrimitiveString", value="abc")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from decided()
    yield from chosen()
    yield from collected()
    yield from calculated()
    yield from converted()
    yield from sized()


def decided() -> Iterator[Case]:
    """True or false."""
    for value in (True, 0, "", "0", 1.5, WORD, made("PrimitiveString", value="")):
        yield case("ComfyNotNode", repr(value), ("text",), value=value)
    groups: tuple[tuple[Any, ...], ...] = ((True,), (1, "x", True), (1, 0, True), (0, ""), (INTEGER, FRACTION, ""))
    for node, values in itertools.product(("ComfyAndNode", "ComfyOrNode"), groups):
        yield case(node, repr(values), ("text",), **{f"values.value{k}": value for k, value in enumerate(values)})
        yield case(node, f"from 1: {values}", ("text",), **{f"values.value{k}": v for k, v in enumerate(values, 1)})
    yield case("ComfyAndNode", "nested", ("text",), values={"value0": True})
    yield case("ComfyOrNode", "beyond", ("text",), **{"values.value0": False, "values.value10": True})


def chosen() -> Iterator[Case]:
    """One of several."""
    for switch in (True, False, made("ComfyNotNode", value=WORD)):
        label = str(switch)[:5]
        yield case("ComfySwitchNode", label, ("text",), switch=switch, on_false=INTEGER, on_true=WORD)
        failing = made("StringFormat", **{"values.a": 1, "f_string": "{zz}"})
        yield case("ComfySwitchNode", f"{label} lazy", ("text",), switch=switch, on_false=INTEGER, on_true=failing)
        yield case("ComfySwitchNode", f"{label} constants", ("text",), switch=switch, on_false=1, on_true="x")
        yield case("ComfySwitchNode", f"{label} missing", ("text",), switch=switch, on_true=WORD)
    both = ("text", "text")
    yield case("CustomCombo", "first", both, choice="a", option1="a", option2="b", index=0)
    yield case("CustomCombo", "second", both, choice="b", option1="a", option2="b", index=1)
    yield case("CustomCombo", "unknown, no index", both, choice="zz")
    yield case("CustomCombo", "linked", both, choice=WORD, index=INTEGER)
    yield case("wanBlockSwap", "a constant", ("text",), model="x")


def collected() -> Iterator[Case]:
    """Lists of values, each of which is shown."""
    named = {f"inputs.input{k}": value for k, value in enumerate((WORD, FRACTION, "constant"))}
    yield case("CreateList", "three", ("text",), **named)
    yield case("CreateList", "gap", ("text",), **{"inputs.input0": WORD, "inputs.input4": FRACTION})
    inner = made("CreateList", **{"inputs.input0": 1, "inputs.input1": 2})
    yield case("CreateList", "of lists", ("text",), **{"inputs.input0": inner, "inputs.input1": 3})
    yield case("CreateList", "none", ("text",), **{"inputs.input3": 3})
    builder = Builder()
    listed = inner(builder)
    builder.end("text", builder("StringFormat", **{"values.a": listed, "values.b": "x", "f_string": "{a}{b}"}))
    yield Case("CreateList", "into a node for one", builder.graph)


EXPRESSIONS = (
    "a + b",
    "a / b * c - 1",
    "a // b",
    "-a % 3",
    "a ** 3",
    "2 ** 5000",
    "5000000 ** 2",
    "2.0 ** 5000",
    "pow(2, 4001)",
    "pow(a, -1)",
    "sum(values)",
    "sum(a, b, c)",
    "sum(a)",
    "min(values) + max(a, b)",
    "abs(-a) + round(b) + round(b, 1)",
    "sqrt(a) + log(a) + log2(8) + log10(1000)",
    "log(8, 2)",
    "sin(a) + cos(b) + tan(0.5)",
    "ceil(b) + floor(b)",
    "int(b) + float(a)",
    "a if b > 2 else c",
    "a > b",
    "1 < a < 9 and not c == 3",
    "a or b",
    "a and 0",
    "values[0] + values[-1]",
    "sum(values[1:])",
    "len(values)",
    "a << 3 | 1 ^ 2 & 6",
    "1 << 20000",
    "~a",
    "zz + 1",
    "'x' * 3",
    "'x' * 200000",
    "f'{a}'",
    "(-8) ** 0.5",
    "1 / 0",
    "sqrt(-1)",
    "10 ** 400",
    "1e308 * 10",
    "a.real",
    "a.__class__",
    "a.format",
    "a.nothing",
    "'{a}'.format(a=1)",
    "lambda: 1",
    "(lambda: 1)()",
    "[a, b]",
    "max",
    "True",
    "None",
    "import os",
    "from os import path",
    "x = a + 1",
    "x += 1",
    "a; b",
    "# nothing",
    "  ",
    "a +",
    "a\n+ b",
    "round(*values)",
    "round(b, ndigits=1)",
    "a is a",
    "3 in values",
    "'a' not in 'abc'",
    "0x1F + 1_000",
    "int('12')",
    "int('x')",
)


def calculated() -> Iterator[Case]:
    """Expressions."""
    three = ("text", "text", "text")
    for expression in EXPRESSIONS:
        values = {"values.a": INTEGER, "values.b": FRACTION, "values.c": 3}
        yield case("ComfyMathExpression", expression, three, expression=expression, **values)
    yield case("ComfyMathExpression", "b only", three, expression="b", **{"values.b": 1})
    yield case("ComfyMathExpression", "z", three, expression="a * z", **{"values.a": 2, "values.z": 21})
    yield case("ComfyMathExpression", "bool", three, expression="a + True", **{"values.a": True})
    yield case("ComfyMathExpression", "text", three, expression="a", **{"values.a": "x"})


def converted() -> Iterator[Case]:
    """Numbers of everything."""
    texts = ("1", " -2.5 ", "1e3", "1_000", "", "  ", "x", "inf", "nan", "0x10", "9" * 400, "٣")
    given: tuple[Any, ...] = (0, 7, -2.9, True, False, 1e30, 2**70, None, [1, 2, 3], *texts)
    for value in given:
        label = repr(value)[:40]
        yield case("ComfyNumberConvert", label, ("text", "text"), value=value)
    linked: tuple[Source, ...] = (INTEGER, FRACTION, WORD, made("PrimitiveBoolean", value=True))
    for number, source in enumerate(linked):
        yield case("ComfyNumberConvert", f"link {number}", ("text", "text"), value=source)


def sized() -> Iterator[Case]:
    """Resolutions and seeds."""
    ratios = ("1:1 (Square)", "2:3 (Portrait Photo)", "3:2 (Photo)", "3:4 (Portrait Standard)", "4:3 (Standard)")
    ratios += ("9:16 (Portrait Widescreen)", "16:9 (Widescreen)", "21:9 (Ultrawide)", "5:4")
    for ratio, pixels, multiple in itertools.product(ratios, (0.1, 1.0, 2.3, 16.0), (8, 20, 128)):
        options = {"aspect_ratio": ratio, "megapixels": pixels, "multiple": multiple}
        yield case("ResolutionSelector", f"{ratio} {pixels} {multiple}", ("text", "text"), **options)
    for seed in (0, 5, 2**63 - 1, 2**63, -1, "12"):
        yield case("SeedNode", seed, ("text",), seed=seed)
