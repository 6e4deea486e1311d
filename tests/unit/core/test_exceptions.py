"""Errors travel: pickled and copied with their class, fields, text and cause; all are at the top level."""

from __future__ import annotations

import ast
import concurrent.futures
import copy
import errno
import importlib
import json
import multiprocessing
import os
import pickle
import pkgutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
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
ARGUMENT = exceptions.ArgumentProblem("scale", "is not a number", ("2",))
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
    exceptions.PaidNodesError: lambda: exceptions.PaidNodesError([exceptions.PaidNode("1", "A", "title")]),
    exceptions.BrokenLinksError: lambda: exceptions.BrokenLinksError([PROBLEM]),
    exceptions.WorkflowCycleError: lambda: exceptions.WorkflowCycleError(["3", "5"]),
    exceptions.PortError: lambda: exceptions.PortError("cannot be stitched", [PROBLEM]),
    exceptions.UnknownPortError: lambda: exceptions.UnknownPortError("modle", "is not there", ["clip", "model"]),
    exceptions.InputSelectorError: lambda: exceptions.InputSelectorError("a.b", "names nothing", ["c.d"]),
    exceptions.CallError: lambda: exceptions.CallError("upscale", [ARGUMENT]),
    exceptions.ArgumentError: lambda: exceptions.ArgumentError("timeout", "must be a number of seconds"),
    exceptions.PoolError: lambda: exceptions.PoolError("nobody answers"),
    exceptions.PoolBusy: lambda: exceptions.PoolBusy(7, tenant="acme", retry_after=1.5),
    exceptions.NoServerFits: lambda: exceptions.NoServerFits({"gpu0": ["has 8 GB"], "gpu1": ["lacks a.safetensors"]}),
    exceptions.ProvideError: lambda: exceptions.ProvideError(
        "one file", failures=[exceptions.DownloadError("403", name="a")], remedy="Ask."
    ),
    exceptions.ConsentError: lambda: exceptions.ConsentError("nobody agreed", remedy="Pass yes=True."),
    exceptions.DownloadError: lambda: exceptions.DownloadError("odd", name="a", url="https://b", status=418),
    exceptions.DownloadRefusedError: lambda: exceptions.DownloadRefusedError("gated", name="a", status=403),
    exceptions.DownloadStalledError: lambda: exceptions.DownloadStalledError("slow", name="a", remedy="Wait."),
    exceptions.DamagedDownloadError: lambda: exceptions.DamagedDownloadError("another hash", name="a"),
    exceptions.FileConflictError: lambda: exceptions.FileConflictError("differs", path="/models/a"),
    exceptions.PackInstallError: lambda: exceptions.PackInstallError("no git", pack="p", log_tail=["last", "words"]),
    exceptions.UploadError: lambda: exceptions.UploadError("outside"),
    exceptions.SweepError: lambda: exceptions.SweepError("two columns", place="a.csv, line 1", remedy="Rename one"),
    exceptions.FolderInUseError: lambda: exceptions.FolderInUseError("out", pid=7),
    exceptions.DiskFullError: lambda: exceptions.DiskFullError("/disk", "saving", filename="/disk/a", number=122),
    exceptions.StorageFullError: lambda: exceptions.StorageFullError("/disk", "storing 'x'", remedy="Delete values."),
    exceptions.UnsupportedValueError: lambda: exceptions.UnsupportedValueError(
        "a socket cannot be stored", place="value[0]", remedy="Leave it out."
    ),
    exceptions.DamagedDataError: lambda: exceptions.DamagedDataError("is cut off", source="/dev/null"),
    exceptions.ConversionError: lambda: exceptions.ConversionError("failed", attempts=["one", "two"]),
    exceptions.ConversionTimeout: lambda: exceptions.ConversionTimeout("slow", attempts=["one"]),
    exceptions.MissingFrontendError: lambda: exceptions.MissingFrontendError("no frontend: 404"),
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
    exceptions.RunLostError: lambda: exceptions.RunLostError(
        "gpu0 is gone", started=True, server="gpu0", last_event="step", death=death(), prompt_id="p"
    ),
    exceptions.RunTimeout: lambda: exceptions.RunTimeout("long", timeout=3.5, prompt_id="p"),
}
"""One of each class; a new class without one fails the test."""


def repr_of(value: object) -> str:
    """A name for a value that may have no text."""
    return type(value).__name__


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
    """Of every module, also of those that nothing above imports: so that no error is left out below."""
    for module in pkgutil.walk_packages(discomfort.__path__, "discomfort."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
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


def test_full_disk_is_an_error_of_the_system() -> None:
    """Who handles OSError by number and file name handles it too, also after a journey."""
    for number in (errno.ENOSPC, errno.EDQUOT):
        error = exceptions.DiskFullError("/disk", "saving", filename="/disk/a.png", number=number)
        for found in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert isinstance(found, OSError)
            assert (found.errno, found.strerror, found.filename) == (number, os.strerror(number), "/disk/a.png")
            assert (found.folder, found.remedy) == ("/disk", "Free some space there")
            assert str(found).startswith(f"{os.strerror(number)}: the disk of /disk is full (saving to /disk/a.png)")


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


def test_errors_into_another_interpreter(tmp_path: Path) -> None:
    """A process that has imported nothing yet reads them all, with class and text."""
    errors = [made() for made in SAMPLES.values()]
    (tmp_path / "errors").write_bytes(pickle.dumps(errors))
    code = (
        "import json, pickle, sys\n"
        "errors = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(json.dumps([[type(e).__name__, str(e), sorted(vars(e))] for e in errors]))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "errors")]
    found = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout

    assert json.loads(found) == [[type(error).__name__, str(error), sorted(vars(error))] for error in errors]


class Unreadable:
    """Refuses everything that pickle, copy and repr ask for."""

    def __reduce__(self) -> str:
        raise OSError("no pickle")

    def __repr__(self) -> str:
        raise OSError("no text")


class Broken(Mapping[str, int]):
    """A mapping that can be neither pickled nor read."""

    def __reduce__(self) -> str:
        raise OSError("no pickle")

    def __getitem__(self, key: str) -> int:
        raise OSError("no value")

    def __iter__(self) -> Iterator[str]:
        raise OSError("no keys")

    def __len__(self) -> int:
        return 1


def test_only_what_cannot_be_pickled_is_replaced() -> None:
    """What lies beside it in the same field stays what it is, also in records and in mappings of other types."""
    lock = threading.Lock()
    problem = exceptions.InputProblem("3", "A", None, "n", "type", "bad", received={"a": [lock, 1]}, allowed=(lock, 2))
    history = MappingProxyType({"p": {"outputs": {"1": [lock, Path("x")]}}})
    error = exceptions.RunError("bad", history=history)
    error.problems = (problem, INPUT)  # type: ignore[attr-defined]
    found: Any = pickle.loads(pickle.dumps(error))

    assert found.history == {"p": {"outputs": {"1": [repr(lock), Path("x")]}}}
    assert found.problems[0].received == {"a": [repr(lock), 1]}
    assert found.problems[0].allowed == (repr(lock), 2)
    assert found.problems[1] == INPUT
    assert copy.copy(error).history is history


@pytest.mark.parametrize(
    ("value", "kind"),
    [(Unreadable(), str), (Broken(), str), (lambda: None, str), ([threading.Lock()], list)],
    ids=repr_of,
)
def test_no_value_stops_an_error(value: object, kind: type) -> None:
    """Wherever it is: as a field, in a record, as an argument."""
    error = exceptions.StateError("closed", value)
    error.field = value  # type: ignore[attr-defined]
    found = pickle.loads(pickle.dumps(error))

    assert type(found) is exceptions.StateError
    assert type(found.field) is kind


def test_errors_that_hold_one_another() -> None:
    """As causes, in a field, and by way of an error of another kind: each is written once, and is itself again."""
    first, second, third = (exceptions.ServerError(text) for text in ("first", "second", "third"))
    first.__cause__, second.__cause__, third.__cause__ = second, first, ExceptionGroup("group", [third])
    first.others = [first, second]  # type: ignore[attr-defined]
    for way in (copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))):
        found: Any = way(first)
        assert found.__cause__.__cause__ is found
        assert found.others == [found, found.__cause__]
        assert str(way(third)) == "third"


def test_each_error_of_a_chain_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work grows with the length of a chain of causes, and no faster."""
    written: list[DiscomfortError] = []
    reduce = DiscomfortError.__reduce__

    def count(error: DiscomfortError) -> Any:
        written.append(error)
        return reduce(error)

    monkeypatch.setattr(DiscomfortError, "__reduce__", count)
    error = DiscomfortError("0")
    for number in range(1, 12):
        following = exceptions.FatalPromptError(str(number), [error])
        following.__cause__, error = error, following
    pickle.dumps(error)

    assert len(written) == 12


def test_a_subclass_beside_any_builtin_travels() -> None:
    """Each builtin error makes its own objects; a program may add ours to any of them."""
    builtins = [DiscomfortError, ImportError, OSError, StopIteration, SystemError, UnicodeError]
    for builtin in builtins[1:]:
        kind = type("Own", (DiscomfortError, builtin), {"__module__": __name__})
        error = kind("text")
        error.fact = 1
        found = copy.deepcopy(error)
        assert (type(found), str(found), found.fact) == (kind, "text", 1)


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


def test_types_and_names_at_the_top_level_agree() -> None:
    """What a type checker reads and what is resolved at first use: the same names of the same modules."""
    source = ast.parse(Path(discomfort.__file__).read_text())
    (block,) = [node for node in source.body if isinstance(node, ast.If)]
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted([*typed, "__version__"]) == discomfort.__all__
    assert {name: getattr(discomfort, name).__module__ for name in typed} | typed == typed | {
        # A package that hands on what a module of it has.
        "ComfyConnector": typed["ComfyConnector"]
    }


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Nor does an error by its name: a worker that only reads one starts at once."""
    code = (
        "import sys, discomfort\n"
        "discomfort.RunTimeout\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = ["playwright", "numpy", "PIL", "aiohttp", "pydantic", "asyncio", "orjson"]
    argv = [sys.executable, "-c", code, *heavy]
    assert subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout.decode().strip() == "[]"
