"""A form for notebooks, made of the inputs of a workflow; ipywidgets is imported when one is made."""

from __future__ import annotations

import asyncio
import html
import inspect
import json
from collections.abc import Callable
from typing import Any, Protocol

from discomfort._system.concurrency import retrieve
from discomfort.exceptions import ConfigurationError
from discomfort.sweeps.value_forms import takes_content
from discomfort.workflow.interface.declarations import NO_DEFAULT, Parameter
from discomfort.workflow.interface.parameters import Interface

_EXACT = 2**53
"""Whole numbers from here on are not exact in a browser; they are entered as text."""
_MOST_STEPS = 400
"""Steps of a slider; with more, it cannot be set exactly."""


class FormFunction(Protocol):
    """What a form needs of a workflow function, with or without ``await``."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def interface(self) -> Interface:
        """Its inputs."""
        ...

    def __call__(self, values: dict[str, Any], /) -> Any:
        """Run it."""
        ...


class InputForm:
    """A form with the inputs of a workflow, a button that runs it, and the result below: shows itself in a notebook.

    ``values`` are the present ones, ``result`` is the last result. Inputs that are hidden are left out. Raises
    ConfigurationError without ipywidgets.
    """

    result: Any

    def __init__(self, function: FormFunction) -> None:
        try:
            import ipywidgets
        except ImportError as error:
            remedy = "Install it: pip install ipywidgets"
            raise ConfigurationError("a form needs a notebook, and ipywidgets is missing", remedy=remedy) from error
        self._function = function
        self._task: asyncio.Task[None] | None = None
        self.result = None
        self._readers: dict[str, Callable[[], Any]] = {}
        self.widgets: dict[str, Any] = {}
        """The widget of each input, by its name."""
        for name, parameter in function.interface.inputs.items():
            if not parameter.is_hidden:
                self.widgets[name], self._readers[name] = _field(ipywidgets, parameter)
        self._button = ipywidgets.Button(description=f"Run {function.name}", button_style="primary")
        self._button.on_click(lambda _: self.run())
        self._shown = ipywidgets.HTML()
        self.box: Any = ipywidgets.VBox([*self.widgets.values(), self._button, self._shown])
        """The whole form, to be put into other widgets."""

    @property
    def values(self) -> dict[str, Any]:
        """The values of the form; uploads without a file and texts that are not JSON are left out."""
        read = {name: reader() for name, reader in self._readers.items()}
        return {name: value for name, value in read.items() if value is not NO_DEFAULT}

    def run(self) -> None:
        """Run the workflow with these values, as the button does; a second time only when the first has ended."""
        if self._button.disabled:
            return
        self._button.disabled = True
        self._shown.value = "running"
        try:
            answer = self._function(self.values)
        except Exception as error:  # noqa: BLE001 - it is shown where the result would be
            self._end(error=error)
            return
        if inspect.isawaitable(answer):
            self._task = asyncio.ensure_future(self._wait(answer))
            self._task.add_done_callback(retrieve)
        else:
            self._end(answer)

    async def _wait(self, answer: Any) -> None:
        try:
            self._end(await answer)
        except asyncio.CancelledError:
            self._end(error=RuntimeError("cancelled"))
            raise
        except Exception as error:  # noqa: BLE001 - it is shown where the result would be
            self._end(error=error)

    def _end(self, result: Any = None, *, error: Exception | None = None) -> None:
        self._button.disabled = False
        if error is not None:
            self._shown.value = f"<pre>{html.escape(str(error) or type(error).__name__)}</pre>"
            return
        self.result = result
        show = getattr(result, "_repr_html_", None)
        self._shown.value = show() if show is not None else html.escape(repr(result))

    def _ipython_display_(self) -> None:
        from IPython import display

        show: Any = display.display
        show(self.box)


def _field(kit: Any, parameter: Parameter) -> tuple[Any, Callable[[], Any]]:
    """The widget of an input, and what reads its value."""
    about = {
        "description": parameter.label or parameter.name,
        "tooltip": parameter.description or parameter.name,
        "layout": kit.Layout(width="36em"),
    }
    if takes_content(parameter):
        upload = kit.FileUpload(multiple=False, **about)
        return upload, lambda: bytes(upload.value[0]["content"]) if upload.value else NO_DEFAULT
    about["style"] = {"description_width": "10em"}
    given = None if parameter.default is NO_DEFAULT else parameter.default
    widget = _constant(kit, parameter, given, about)
    if widget is not None:
        return widget, lambda: widget.value
    text = kit.Text(value="" if given is None else json.dumps(given, default=str), **about)
    return text, lambda: _parsed(text.value)


def _constant(kit: Any, parameter: Parameter, given: Any, about: dict[str, Any]) -> Any:
    """The widget of a number, a text or a choice; ``None`` for a value that has none."""
    if parameter.choices:
        value = given if given in parameter.choices else parameter.choices[0]
        return kit.Dropdown(options=list(parameter.choices), value=value, **about)
    if parameter.type == "BOOLEAN":
        return kit.Checkbox(value=bool(given), **about)
    if parameter.type == "STRING":
        return (kit.Textarea if parameter.is_multiline else kit.Text)(value=str(given or ""), **about)
    if parameter.type not in ("INT", "FLOAT"):
        return None
    low, high, step = parameter.minimum, parameter.maximum, parameter.step
    is_whole = parameter.type == "INT"
    if is_whole and max(abs(each or 0) for each in (low, high, given)) >= _EXACT:
        return None
    value = given if isinstance(given, int | float) else low or 0
    kind = "Int" if is_whole else "Float"
    if low is None or high is None:
        return getattr(kit, f"{kind}Text")(value=value, **about)
    cast = int if is_whole else float
    step = step or (1 if is_whole else 0.01)
    bounds = {"min": cast(low), "max": cast(high), "step": cast(step)}
    name = f"{kind}Slider" if (high - low) / step <= _MOST_STEPS else f"Bounded{kind}Text"
    return getattr(kit, name)(value=min(max(value, low), high), **bounds, **about)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return NO_DEFAULT
