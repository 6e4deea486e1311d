"""Errors travel: pickled and copied with their class, fields, text and cause; all are at the top level."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

import discomfort
from discomfort import exceptions
from discomfort.cli.inputs import UsageError
from discomfort.conversion.browser.process import BrowserGoneError
from discomfort.exceptions import DiscomfortError

PROBLEM = exceptions.GraphProblem("3", "KSampler", "Sampler", "seed", "links to nothing")
FAILURE = exceptions.NodeFailure("3", "KSampler", "Sampler", "ValueError", "bad", ("line 1\n", "line 2\n"))
INPUT = exceptions.InputProblem(
    "3", "KSampler", None, "steps", "value_smaller_than_min", "too small", received=0, minimum=1
)


def death() -> exceptions.ServerDiedError:
    """The end of a server."""
    return exceptions.ServerDiedError("killed", signal="SIGKILL", log_tail=["last", "words"], prompt_id="p")


SAMPLES: dict[type[DiscomfortError], Callable[[], DiscomfortError]] = {
    DiscomfortError: lambda: DiscomfortError("plain"),
    exceptions.ConfigurationError: lambda: exceptions.ConfigurationError(
        "is wrong", key="PORT", value="x", source="argument", remedy="Give a number."
    ),
    exceptions.PayloadError: lambda: exceptions.PayloadError("neither"),
    exceptions.UnsafePromptError: lambda: exceptions.UnsafePromptError([PROBLEM]),
    exceptions.MissingNodesError: lambda: exceptions.MissingNodesError([exceptions.MissingNode("A", ("1",), "pack")]),
    exceptions.BrokenLinksError: lambda: exceptions.BrokenLinksError([PROBLEM]),
    exceptions.InputSelectorError: lambda: exceptions.InputSelectorError("a.b", "names nothing", ["c.d"]),
    exceptions.UploadError: lambda: exceptions.UploadError("outside"),
    exceptions.ConversionError: lambda: exceptions.ConversionError("failed", attempts=["one", "two"]),
    exceptions.ConversionTimeout: lambda: exceptions.ConversionTimeout("slow", attempts=["one"]),
    exceptions.BrowserError: lambda: exceptions.BrowserError("none", remedy="Install it."),
    BrowserGoneError: lambda: BrowserGoneError("gone"),
    UsageError: lambda: UsageError("twice"),
    exceptions.StateError: lambda: exceptions.StateError("closed"),
    exceptions.ServerError: lambda: exceptions.ServerError("stuck"),
    exceptions.ServerStartError: lambda: exceptions.ServerStartError(
        "exited", command=["python3"], exit_code=1, log_tail=["Traceback"], remedy="Look."
    ),
    exceptions.ServerStartTimeout: lambda: exceptions.ServerStartTimeout("slow", command=["python3"], remedy="Wait."),
    exceptions.ServerDiedError: death,
    exceptions._ServerGivenUp: lambda: exceptions._ServerGivenUp("twice", [death()], prompt_id="p"),
    exceptions.FatalPromptError: lambda: exceptions.FatalPromptError("twice", [death(), death()], prompt_id="p"),
    exceptions.RestartLimitError: lambda: exceptions.RestartLimitError("too often", [death()]),
    exceptions.ServerConnectionError: lambda: exceptions.ServerConnectionError("refused", url="http://gpu"),
    exceptions.ServerResponseError: lambda: exceptions.ServerResponseError(
        "odd", method="GET", url="http://gpu", status=418, body="teapot"
    ),
    exceptions.SelfTestError: lambda: exceptions.SelfTestError("no picture"),
    exceptions.RunError: lambda: exceptions.RunError("bad", prompt_id="p", history={"p": {"outputs": {}}}),
    exceptions.ValidationError: lambda: exceptions.ValidationError(
        "refused", [INPUT], prompt_id="p", error={"type": "x"}, node_errors={"3": {}}
    ),
    exceptions.ExecutionError: lambda: exceptions.ExecutionError(FAILURE, prompt_id="p", history={"p": {}}),
    exceptions.OutOfMemoryError: lambda: exceptions.OutOfMemoryError(FAILURE, prompt_id="p"),
    exceptions.ExecutionInterrupted: lambda: exceptions.ExecutionInterrupted("by hand", prompt_id="p", node_id="3"),
    exceptions.PromptLostError: lambda: exceptions.PromptLostError("gone", prompt_id="p"),
    exceptions.ResultLostError: lambda: exceptions.ResultLostError("lost", prompt_id="p"),
    exceptions.RunTimeout: lambda: exceptions.RunTimeout("long", timeout=3.5, prompt_id="p"),
}
"""One of each class; a new class without one fails the test."""


def tree(root: type[DiscomfortError] = DiscomfortError) -> list[type[DiscomfortError]]:
    """The class and all below it that the library defines."""
    found = [root]
    for each in root.__subclasses__():
        if each.__module__.startswith("discomfort"):
            found += tree(each)
    return list(dict.fromkeys(found))


def same(left: object, right: object) -> bool:
    """Whether two values are equal, errors by what they hold."""
    if isinstance(left, BaseException):
        return type(left) is type(right) and str(left) == str(right) and same(vars(left), vars(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def test_every_class_has_a_sample() -> None:
    """So that no error is left out below."""
    assert [each.__name__ for each in tree() if each not in SAMPLES] == []


@pytest.mark.parametrize("made", SAMPLES.values(), ids=[each.__name__ for each in SAMPLES])
def test_error_travels(made: Callable[[], DiscomfortError]) -> None:
    """By every protocol, and by copy: class, fields, text, args, cause and notes."""
    error = made()
    error.__cause__ = exceptions.ServerError("the reason")
    error.add_note("noted")
    ways: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy]
    ways += [lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for way in ways:
        found = way(error)
        assert same(found, error)
        assert found.args == error.args
        assert str(found.__cause__) == "the reason"
        assert found.__notes__ == ["noted"]
        assert isinstance(found, type(error).__bases__)


def fail(name: str) -> None:
    """Raises the sample of a class, in a worker process."""
    error = next(made for each, made in SAMPLES.items() if each.__name__ == name)()
    raise error from exceptions.ServerError("why")


def test_errors_out_of_worker_processes() -> None:
    """One error that could not be read would take the whole pool with it."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        for each, made in SAMPLES.items():
            found = pool.submit(fail, each.__name__).exception()
            assert same(found, made()), each


def test_what_cannot_be_pickled_does_not_keep_the_error() -> None:
    """A field or a cause of a class that refuses is sent as its text."""

    class Stubborn(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

    error = exceptions.RunError("bad", history=MappingProxyType({"p": 1}))
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    error.__cause__ = Stubborn(1, 2)
    found = pickle.loads(pickle.dumps(error))

    assert found.history == {"p": 1}
    assert "lock" in found.lock
    assert str(found.__cause__) == "Stubborn: 1 and 2"


def test_errors_are_at_the_top_level() -> None:
    """With the records that they hold; each name is the very class of discomfort.exceptions."""
    public = [name for name, value in vars(exceptions).items() if isinstance(value, type) and name[0] != "_"]
    own = [name for name in public if getattr(exceptions, name).__module__ == "discomfort.exceptions"]
    assert [name for name in own if getattr(discomfort, name) is not getattr(exceptions, name)] == []
    assert set(own) <= set(discomfort.__all__)
    assert set(discomfort.__all__) <= set(dir(discomfort))
    with pytest.raises(AttributeError, match="Nothing"):
        _ = discomfort.Nothing
