"""Sweeps and forms in notebooks: the live table, and widgets for the inputs of a workflow."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from discomfort import LiveTable, Sweep
from discomfort.exceptions import RunError
from discomfort.functions.input_form import InputForm
from discomfort.workflow.interface.declarations import NO_DEFAULT, Parameter
from discomfort.workflow.interface.parameters import Interface

from .fake_function import INTERFACE, FakeFunction


async def test_live_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One output of the cell, which changes; the end is always shown, and values are no HTML."""
    shown: list[str] = []

    class Handle:
        def update(self, made: Any) -> None:
            shown.append(made.data)

    def display(made: Any, *, display_id: bool) -> Handle:
        assert display_id
        shown.append(made.data)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)

    await Sweep.of_grid(FakeFunction(), {"text": ["<b>", "y"]}).run(tmp_path, on_progress=LiveTable())

    assert "0 of 2 rows" in shown[0]
    assert "2 of 2 rows" in shown[-1]
    assert html.escape("text=<b>") in shown[-1]
    assert not any("<b>" in each for each in shown)


def made(*more: Parameter, **options: Any) -> InputForm:
    """A form with some inputs."""
    pytest.importorskip("ipywidgets")
    inputs = {**INTERFACE.inputs, **{each.name: each for each in more}}
    return InputForm(FakeFunction(interface=Interface(inputs=inputs), **options))


def given(name: str, kind: str, default: Any = NO_DEFAULT, **more: Any) -> Parameter:
    """One more input."""
    return Parameter(name=name, type=kind, source="app", default=default, **more)


def test_form_has_a_widget_for_each_input() -> None:
    """By type, bounds and choices; numbers that a browser would round are texts; hidden ones are left out."""
    form = made(
        given("scale", "FLOAT", 2.0, minimum=0, maximum=4, step=0.5),
        given("steps", "INT", 20, minimum=1, maximum=10000),
        given("noise", "INT", 2**60 + 1, minimum=0, maximum=2**64 - 1),
        given("method", "COMBO", "b", choices=("a", "b")),
        given("long", "STRING", "x", is_multiline=True),
        given("tiled", "BOOLEAN", True),
        given("model", "MODEL"),
        given("secret", "INT", 1, is_hidden=True),
    )
    kinds = {name: type(widget).__name__ for name, widget in form.widgets.items()}
    assert kinds == {
        "seed": "IntText", "cfg": "FloatText", "text": "Text", "photo": "FileUpload", "scale": "FloatSlider",
        "steps": "BoundedIntText", "noise": "Text", "method": "Dropdown", "long": "Textarea", "tiled": "Checkbox",
        "model": "Text",
    }  # fmt: skip
    assert form.values == {
        "seed": 0, "cfg": 7, "text": "a cat", "scale": 2.0, "steps": 20, "noise": 2**60 + 1, "method": "b",
        "long": "x", "tiled": True,
    }  # fmt: skip
    now = datetime.now(UTC)
    form.widgets["photo"].value = ({"name": "a.png", "type": "", "size": 4, "content": b"data", "last_modified": now},)
    assert form.values["photo"] == b"data"


async def test_form_runs_and_shows() -> None:
    """One call at a time; then its result, or its error as text."""
    gate = asyncio.Event()

    async def wait(values: Mapping[str, Any]) -> None:
        await gate.wait()
        if values["seed"] == 3:
            raise RunError("<no>")

    form = made(before=wait)
    form.run()
    form.run()
    gate.set()
    assert form._task is not None
    await form._task
    assert form.result.prompt_id == "id-1"
    assert form._shown.value.startswith("FakeResult(")

    form.widgets["seed"].value = 3
    form.run()
    await form._task
    assert form._shown.value == "<pre>&lt;no&gt;</pre>"
    assert not form._button.disabled
