"""Cases of JSON, of formatted texts, and of saved ones (since ComfyUI 0.4)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Case, case, made


def cases() -> Iterator[Case]:
    """All of them."""
    yield from formatted()
    yield from extracted()
    yield from written()
    yield from prompts()
    yield from saved()


def formatted() -> Iterator[Case]:
    """Python's ``str.format``."""
    values: dict[str, Any] = {"values.a": made("PrimitiveFloat", value=2.5), "values.b": "é", "values.z": 7}
    for template in (
        "{a}",
        "{a:08.3f}|{b:>4}|{z:x}",
        "{}",
        "{c}",
        "{a!r} {{}}",
        "{a.real}",
        "{b[0]}",
        "{",
        "{a:q}",
        "",
    ):
        yield case("StringFormat", template, ("text",), f_string=template, **values)
    yield case("StringFormat", "no values", ("text",), f_string="x")
    yield case("StringFormat", "no values, wanted", ("text",), f_string="{a}")


def extracted() -> Iterator[Case]:
    """Values of keys."""
    texts = ('{"a": 1, "b": null, "c": {"d": [true, "é"]}, "e": 1.50, "": 2}', "[1]", "", "{", '{"a": NaN}', '"a"')
    for text, key in itertools.product(texts, ("a", "b", "c", "d", "e", "")):
        yield case("JsonExtractString", f"{key} of {text}", ("text",), json_string=text, key=key)


def written() -> Iterator[Case]:
    """Values as JSON; constants stand for links here, since they come out of few nodes."""
    given = {"a": [1, 2.5, None], "é": {"b": True}}
    for indent in (0, 1, 2, 8, 9):
        yield case("ConvertDictionaryToString", indent, ("text",), dictionary=given, indent=indent)
        array = {"__value__": [1, [2], "é"]}
        yield case("ConvertArrayToString", indent, ("text",), array=array, indent=indent)
    for value in ("x", 5, None, {}):
        yield case("ConvertDictionaryToString", repr(value), ("text",), dictionary=value, indent=2)
        yield case("ConvertArrayToString", repr(value), ("text",), array=value, indent=2)


def prompts() -> Iterator[Case]:
    """Descriptions of pictures."""
    elements = {"__value__": [{"type": "text", "bbox": [1, 2, 3, 4], "desc": "x"}, {"type": "obj"}, 3]}
    words = {"aesthetics": "moody", "lighting": "dim", "medium": "photograph"}
    styles: dict[str, dict[str, Any]] = {
        "none": {"style": "none"},
        "photo": {"style": "photo", "style.photo": "35mm"},
        "art": {"style": "art_style", "style.art_style": "flat"},
        "unknown": {"style": "zz"},
        "without": {"style": "photo"},
    }
    palettes: tuple[Any, ...] = ({"__value__": []}, {"__value__": ["#ff00aa", "", "#00FF00", 3]}, {"a": "#abcdef"})
    for (name, style), palette in itertools.product(styles.items(), palettes):
        yield prompt(f"{name} {palette}", element=elements, background="sky", color_palette=palette, **words, **style)
    blank = {"background": "", "color_palette": {"__value__": []}, "style": "none"} | dict.fromkeys(words, "")
    for description in ("", "  ", "A cat."):
        yield prompt(repr(description), element="x", high_level_description=description, **blank)


def prompt(label: str, **inputs: Any) -> Case:
    """A built prompt, as text."""
    given = {"high_level_description": "A picture."} | inputs
    built = made("BuildJsonPromptIdeogram", **given)
    found = case("ConvertDictionaryToString", label, ("text",), dictionary=built, indent=2)
    return found._replace(node="BuildJsonPromptIdeogram")


def saved() -> Iterator[Case]:
    """Texts in files."""
    texts = ("plain é", '{"b": [1, 2], "a": "é"}', "", "[1", "a\r\nb\n")
    for format_name, text in itertools.product(("txt", "csv", "md", "json", "xml"), texts):
        label = f"{format_name} {text!r}"
        options = {"filename_prefix": f"parity/{format_name}", "format": format_name}
        yield case("SaveText", label, ("text",), text=text, **options)
    yield case("SaveText", "no folder", ("text",), text="x", filename_prefix="parity_%width%_text", format="txt")
    yield case("SaveText", "linked", ("text",), text=made("PrimitiveInt", value=3), filename_prefix="p", format="txt")
