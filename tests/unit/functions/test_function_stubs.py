"""Stubs of workflows: what mypy says about calls through them, and that odd interfaces give valid files."""

from __future__ import annotations

import ast
import inspect
import keyword
from pathlib import Path
from typing import Any

import pytest
from example_count import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mypy import api
from unit.workflow.odd_interfaces import interfaces
from unit.workflow.sample_interface import TYPED

from discomfort.functions import function_stubs
from discomfort.functions.call_result import CallResult
from discomfort.functions.function_stubs import module_name, stub_module
from discomfort.functions.sync_function import SyncCallResult
from discomfort.workflow.interface.annotations import can_be_keyword, literals_of
from discomfort.workflow.interface.parameters import Interface, Parameter

TYPED_CALLS = Path(__file__).parents[2] / "typed_calls"


@pytest.mark.parametrize("suffix", [".py", ".pyi"])
def test_the_checked_stubs_are_up_to_date(suffix: str) -> None:
    """``tests/typed_calls`` has what is made today: its calls are checked by mypy with the rest of the tree."""
    made = stub_module(TYPED, "../../workflows/upscale.json")
    assert (TYPED_CALLS / f"{made.name}{suffix}").read_text("utf-8") == (made.code if suffix == ".py" else made.types)


def mypy(folder: Path, *lines: str) -> list[str]:
    """The codes and lines of mypy's errors, for calls in a coroutine. What the stubs import counts as anything."""
    (folder / "calls.py").write_text(
        "import upscale\n\nasync def main(connector) -> None:\n    function = await upscale.load(connector)\n"
        + "".join(f"    {line}\n" for line in lines),
        encoding="utf-8",
    )
    options = [
        "--config-file=",
        "--follow-imports=skip",
        "--ignore-missing-imports",
        "--check-untyped-defs",
        "--hide-error-context",
    ]
    out, err, _ = api.run(
        [*options, "--cache-dir", str(folder / "cache"), str(folder / "upscale.pyi"), str(folder / "calls.py")]
    )
    assert err == ""
    return [line.partition("calls.py:")[2] for line in out.splitlines() if ": error: " in line]


def test_mypy_rejects_a_wrong_name_type_and_choice(tmp_path: Path) -> None:
    """Right calls are accepted; each wrong one is an error in its line."""
    (tmp_path / "upscale.pyi").write_text(stub_module(TYPED, "upscale.json").types, encoding="utf-8")
    right = [
        "await function(image='a.png')",
        "await function({'KSampler.cfg': 3}, image=b'', scale=3, sampler='it\\'s', seed=2**64 - 1, tiled=True)",
        "await function(image='a.png', ckpt_name='größe.safetensors', prompt='x')",
        "await function.submit(image='a.png')",
        "(await (await function.submit(image='a.png')))['image']",
        "await function.plan(scale=3)",
        "function.grid(image=['a.png', b'x'], seed=range(8), sampler=['euler', 'heun'], scale=[2, 2.5])",
        "function.grid({'KSampler.cfg': [5]}, image='a.png', ckpt_name='base.safetensors', prompt='x')",
        "function.table('prompts.csv', seed=[1, 2])",
    ]
    wrong = [
        "await function(image='a.png', scal=3)",
        "await function(image='a.png', scale='3')",
        "await function(image='a.png', sampler='eule')",
        "await function(image='a.png', ckpt_name='gone.safetensors')",
        "await function(image='a.png', seed=1.5)",
        "await function(scale=3)",
        "await function.submit(image='a.png', scal=3)",
        "(await function(image='a.png'))['imag']",
        "(await (await function.submit(image='a.png')))['imag']",
        "await function.plan(scal=3)",
        "await function.plan(sampler='eule')",
        "function.grid(image='a.png', sed=[1])",
        "function.grid(image='a.png', seed=['1'])",
        "function.grid(image='a.png', sampler=['eule'])",
        "function.grid(image='a.png', ckpt_name='gone.safetensors')",
        "function.grid(seed=[1])",
        "function.table('prompts.csv', seed='one')",
    ]
    errors = mypy(tmp_path, *right, *wrong)
    first = 5 + len(right)
    assert [int(error.partition(":")[0]) for error in errors] == list(range(first, first + len(wrong)))


def names_of_call(types: str, name: str) -> list[ast.arg]:
    tree = ast.parse(types)
    (function,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    call = function.body[0]
    assert isinstance(call, ast.AsyncFunctionDef)
    return call.args.kwonlyargs


@settings(max_examples=examples(40), deadline=None)
@given(interfaces())
def test_odd_interfaces_give_valid_files(odd: Interface) -> None:
    """Both files parse; the call has all names that can be written; literals are the choices."""
    made = stub_module(odd, "upscale.json")
    ast.parse(made.code)
    made.types.encode("utf-8")
    shown = [each for each in odd.inputs.values() if not each.is_hidden]
    written = [each.arg for each in names_of_call(made.types, "Upscale")]
    assert written == [each.name for each in shown if can_be_keyword(each.name)]

    choices = [literals for each in shown if (literals := literals_of(each)) is not None]
    for node in ast.parse(made.types).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Subscript):
            found = ast.literal_eval(node.value.slice)
            assert any(list(map(repr, found)) == list(map(repr, each)) for each in choices)


@settings(max_examples=examples(100), deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20))
def test_every_file_gives_a_module(name: str) -> None:
    """An identifier that can be imported; the two files parse with it."""
    made = stub_module(Interface(), f"../{name}.json")
    assert made.name.isidentifier()
    assert not keyword.iskeyword(made.name)
    ast.parse(made.code)
    ast.parse(made.types)


@pytest.mark.parametrize(
    ("file", "module", "function"),
    [
        ("../my-upscale (2).app.json", "my_upscale_2", "MyUpscale2"),
        ("2x.json", "workflow_2x", "Workflow2x"),
        ("class.json", "class_", "Class"),
        ("none.json", "none", "None_"),
        ("load.json", "load", "Load"),
        ("Größe.png", "größe", "Größe"),
        ("字.json", "字", "字"),
        ("(1).json", "workflow_1", "Workflow1"),
        ("-", "workflow", "Workflow"),
    ],
)
def test_names(file: str, module: str, function: str) -> None:
    """Module and class are named after the file."""
    made = stub_module(Interface(), file)
    assert (made.name, module_name(file)) == (module, module)
    assert f"class {function}(" in made.types


def test_members_of_a_result_are_no_outputs() -> None:
    """What a result has itself is reached by key only, as when it runs."""
    for result in (CallResult, SyncCallResult):
        own = {name for name in dir(result) if not name.startswith("_")}
        assert own == function_stubs._RESULT_MEMBERS
    assert "\n    history: " not in stub_module(TYPED, "upscale.json").types


def test_the_code_loads_the_workflow(tmp_path: Path) -> None:
    """``load`` gives the path of the workflow beside the stubs to the connector, whatever kind it is."""
    made = stub_module(TYPED, "../it's.json")
    names: dict[str, Any] = {"__file__": str(tmp_path / "stubs" / "it_s.py"), "__name__": "it_s"}
    exec(compile(made.code, "it_s.py", "exec"), names)

    class Connector:
        def load(self, workflow: Path, interface: Any) -> tuple[Path, Any]:
            return workflow, interface

    assert names["load"](Connector()) == (tmp_path / "it's.json", None)
    assert names["load"](Connector(), "b.json", {"inputs": {}}) == ("b.json", {"inputs": {}})
    assert inspect.isclass(names["ItS"])
    assert set(names["__all__"]) == exported_by(made.types)


def exported_by(types: str) -> set[str]:
    """The public names of a ``.pyi``."""
    found: set[str] = set()
    for node in ast.parse(types).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


def test_a_sidecar_is_loaded_with_the_workflow(tmp_path: Path) -> None:
    """``load`` gives the sidecar that the stubs were made with; another one may be given."""
    made = stub_module(TYPED, "../upscale.json", "../names.yaml")
    names: dict[str, Any] = {"__file__": str(tmp_path / "stubs" / "upscale.py"), "__name__": "upscale"}
    exec(compile(made.code, "upscale.py", "exec"), names)

    class Connector:
        def load(self, workflow: Path, interface: Any) -> tuple[Path, Any]:
            return workflow, interface

    assert names["load"](Connector()) == (tmp_path / "upscale.json", tmp_path / "names.yaml")
    assert names["load"](Connector(), interface="b.yaml") == (tmp_path / "upscale.json", "b.yaml")
    assert names["INTERFACE"] == tmp_path / "names.yaml"
    assert set(names["__all__"]) == exported_by(made.types)
    assert "INTERFACE" in names["__all__"]


def test_a_default_of_another_type_is_left_open() -> None:
    """A checker would refuse it; and so would it refuse a model that the server does not have."""
    odd = Parameter(name="x", type="INT", source="app", default="7")
    far = Parameter(name="y", type="FLOAT", source="app", default=float("inf"))
    types = stub_module(Interface({"x": odd, "y": far}), "upscale.json").types
    assert "        x: int = ...,\n" in types
    assert "        y: float = ...,\n" in types
