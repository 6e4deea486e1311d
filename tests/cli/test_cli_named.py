"""Inputs by name on the command line: ``run --scale 4``, its help, ``interface`` and ``stubs``."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Cli
from cli.fakes_cli import prompt, write
from example_count import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from port_workflows import Graph
from unit.workflow.odd_interfaces import NAMES
from unit.workflow.sample_interface import TYPED, interface

from discomfort.cli.inputs import UsageError
from discomfort.cli.named_options import OwnOptions, named_values, split_arguments
from discomfort.cli.run_help import inputs_help
from discomfort.workflow.interface.parameters import Interface, InterfaceProblem, Parameter

OWN = OwnOptions(frozenset({"--set", "--output", "-o", "--json", "--in"}), frozenset({"--json"}))
CLASH = Parameter(name="output", type="INT", source="app", default=1)


def called(cli: Cli) -> list[dict[str, Any]]:
    """The values of all calls."""
    return [values for name, values in cli.connector.calls if name == "call"]


@pytest.mark.parametrize(
    ("line", "own", "named"),
    [
        ("a.json --scale 4 b.json", "a.json b.json", {"scale": "4"}),
        ("--scale=4 a.json --json", "a.json --json", {"scale": "4"}),
        ("a.json --shift -1 --tiled", "a.json", {"shift": "-1", "tiled": None}),
        ("a.json --tiled --scale 4", "a.json", {"tiled": None, "scale": "4"}),
        ("a.json --set --scale -o --out", "a.json --set --scale -o --out", {}),
        ("a.json --text=--x --empty=", "a.json", {"text": "--x", "empty": ""}),
        ("--scale 4 -- --odd.json --x 3", "-- --odd.json --x 3", {"scale": "4"}),
        ("a.json -x", "a.json -x", {}),
    ],
)
def test_options_of_the_workflow_are_taken_out(line: str, own: str, named: dict[str, Any]) -> None:
    """What the command does not know, with the next word or without one; its own options keep theirs."""
    found = split_arguments(line.split(), OWN)
    assert (found.own, found.named) == (own.split(), named)


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.sampled_from(["a.json", "--scale", "--scale=1", "-o", "--json", "--", "x", "--in", "-1", ""])))
def test_no_word_is_lost(words: list[str]) -> None:
    """Each word is the command's own, or an option's name or value."""
    try:
        found = split_arguments(words, OWN)
    except UsageError:
        assert sum(word.startswith("--scale") for word in words) > 1
        return
    # One word for a flag and for "--scale=1", whose value no other word has.
    count = sum(1 if value in (None, "1") else 2 for value in found.named.values())
    assert len(found.own) + count == len(words)


def test_texts_become_values() -> None:
    """By the type of each input; ``-`` stands for ``_``; a wrong text stays one: the call says what it takes."""
    texts = {"scale": "4", "seed": "7", "sampler": "it's", "ckpt-name": "7", "prompt": "@@x", "image": "a.png"}
    assert named_values({**texts, "no-tiled": None}, TYPED.inputs) == {
        "scale": 4, "seed": 7, "sampler": "it's", "ckpt_name": "7", "prompt": "@x", "image": "a.png", "tiled": False,
    }  # fmt: skip
    assert named_values({"scale": "NaN", "tiled": "yes", "prompt": "4"}, TYPED.inputs) == {
        "scale": "NaN", "tiled": True, "prompt": "4",
    }  # fmt: skip
    assert named_values({"tiled": None}, TYPED.inputs) == {"tiled": True}
    with pytest.raises(UsageError, match="--scale: a value is missing"):
        named_values({"scale": None}, TYPED.inputs)


def test_a_run_by_name(cli: Cli, tmp_path: Path) -> None:
    """The workflow is called with the values; its files are saved as ever."""
    cli.connector.interface = TYPED
    (tmp_path / "text.txt").write_text("a blue fox", encoding="utf-8")
    name = write(tmp_path / "a.json", prompt("Save"))
    assert cli("run", name, "--image", "photo.jpg", "--scale", "4", "--tiled", "--prompt", "@text.txt") == 0

    assert called(cli) == [{"image": "photo.jpg", "scale": 4, "tiled": True, "prompt": "a blue fox"}]
    assert cli.out == "output/picture.png\n"


def test_names_go_with_batches(cli: Cli, tmp_path: Path) -> None:
    """``--set`` with several values gives several calls, with the same values by name."""
    cli.connector.interface = TYPED
    name = write(tmp_path / "a.json", prompt("Save"))
    assert cli("run", name, "--scale", "3", "--set", "1.scale=1..2", "--name", "{1.scale}") == 0

    assert called(cli) == [{"1.scale": 1, "scale": 3}, {"1.scale": 2, "scale": 3}]
    assert cli.out.splitlines() == ["output/1.png", "output/2.png"]


def test_a_name_that_is_also_an_option(cli: Cli, tmp_path: Path) -> None:
    """It is given by ``--in``, alone or beside others."""
    cli.connector.interface = interface(CLASH, *TYPED.inputs.values())
    name = write(tmp_path / "a.json", prompt("Save"))
    assert cli("run", name, "--in", "output=7", "--output", "made") == 0
    assert cli("run", name, "--in", "output=7", "--scale", "2", "--output", "made") == 0

    assert called(cli) == [{"output": 7}, {"output": 7, "scale": 2}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scal", "4"], "--scal: upscale has no such input, and discomfort run no such option; there are: --scale"),
        (["--timout", "4"], "--timeout"),
        (["--scale", "much"], "scale: takes a number, given 'much'"),
        (["--scale", "4", "--scale=3"], "--scale: given twice"),
        (["--scale", "4", "--in", "scale=3"], "--scale and --in scale: given twice"),
        (["--scale", "4", "--out", "image=x.png"], "--out and --iterations are for ports"),
        (["--prompt", "@none.txt"], "none.txt: No such file"),
    ],
)
def test_what_is_wrong_is_said_before_a_run(cli: Cli, tmp_path: Path, words: list[str], message: str) -> None:
    """Exit code 2, and nothing has run."""
    cli.connector.interface = TYPED
    assert cli("run", write(tmp_path / "a.json", prompt("Save")), *words) == 2

    assert message in cli.err
    assert called(cli) == []


def test_ports_by_name(cli: Cli, tmp_path: Path) -> None:
    """Options that are all names of INPUT ports are the values of ``--in``: the workflows run as a list."""
    graph = Graph()
    node = graph.add("KSampler", "seed:INT", "IMAGE:IMAGE")
    graph.input("seed", node)
    name = write(tmp_path / "a.json", graph.workflow())
    assert cli("run", name, "--seed", "7", "--iterations", "0") == 2
    assert "--iterations 0" in cli.err
    assert cli("run", name, "--seed", "1..3") == 2
    assert "--in seed: '1..3' is a range" in cli.err


def test_help_of_a_workflow(cli: Cli, tmp_path: Path) -> None:
    """Its inputs as options, with what they take; then where the other options are."""
    cli.connector.interface = interface(CLASH, *TYPED.inputs.values())
    name = write(tmp_path / "a.json", prompt("Save"))
    for option in ("--help", "-h"):
        assert cli("run", name, option, "--scale", "4") == 0
        lines = [line.strip() for line in cli.out.splitlines()]
        assert f"Inputs of {name}:" in lines
        for start in ("--in output=INTEGER", "--image FILE", "--scale 1…4", "--tiled, --no-tiled", "--sampler CHOICE"):
            assert any(line.startswith(start) for line in lines), start
        assert lines[-1] == "discomfort run --help shows the other options, such as --output and --attach."
    assert called(cli) == []


def test_the_text_of_the_help() -> None:
    """Two columns, folded to the width, with ranges, choices and defaults."""
    text = inputs_help(TYPED, "upscale.json", frozenset(), 80)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "--scale 1…4 How much larger. [default: 2.0]" in lines
    assert "--image FILE IMAGE. [required]" in lines
    assert "--frames FILE IMAGE." in lines
    assert "One of: euler, heun, it's, d. [default: euler]" in text
    assert max(map(len, text.splitlines())) <= 80


@settings(max_examples=examples(25), deadline=None)
@given(st.lists(NAMES, max_size=4, unique=True))
def test_odd_names_survive_the_help(names: list[str]) -> None:
    """Each input has its line, whatever its name is."""
    odd = Interface({name: Parameter(name=name, type="INT", source="app", default=1) for name in names})
    lines = inputs_help(odd, "a.json", frozenset({"--in"})).splitlines()
    assert sum(line.startswith("  --") for line in lines) == len(names)


def test_interface_is_shown(cli: Cli, tmp_path: Path) -> None:
    """As a table, or as JSON with its schema; a problem gives exit code 1."""
    cli.connector.interface = TYPED
    name = write(tmp_path / "a.json", prompt("Save"))
    assert cli("interface", name) == 0
    assert cli.out == f"{TYPED}\n"

    problem = InterfaceProblem("app", "3.seed", "there is no node 3")
    cli.connector.interface = Interface(TYPED.inputs, TYPED.outputs, (problem,))
    assert cli("interface", name, "--json") == 1
    document = json.loads(cli.out)
    assert [each["name"] for each in document["inputs"]] == list(TYPED.inputs)
    assert document["schema"] == TYPED.json_schema()
    assert document["problems"] == [{"source": "app", "entry": "3.seed", "problem": "there is no node 3", "remedy": ""}]


def test_a_sidecar_is_written_once(cli: Cli, tmp_path: Path) -> None:
    """Beside the workflow; one that is there is kept, unless ``--force`` says otherwise."""
    cli.connector.interface = TYPED
    name = write(tmp_path / "a.app.json", prompt("Save"))
    assert cli("interface", name, "--write") == 0
    made = tmp_path / "a.discomfort.yaml"
    assert cli.out == f"{made}\n"
    assert "  scale:  # float 1…4 = 2\n" in made.read_text("utf-8")

    made.write_text("mine", encoding="utf-8")
    assert cli("interface", name, "--write") == 2
    assert "--force" in cli.err
    assert made.read_text("utf-8") == "mine"
    assert cli("interface", name, "--write", "--force") == 0
    assert made.read_text("utf-8") != "mine"


def test_a_workflow_without_names(cli: Cli, tmp_path: Path) -> None:
    """What to do next is said on stderr: make a sidecar, edit the one that is there, or use selectors."""
    cli.connector.interface = Interface()
    name = write(tmp_path / "my flow.json", prompt("Save"))
    assert cli("interface", name) == 0
    assert "inputs\n  none\n" in cli.out
    assert f"discomfort interface '{name}' --write makes " in cli.err
    assert f"discomfort run '{name}' --set NODE.INPUT=VALUE sets any input without a name" in cli.err
    assert cli("run", name, "--scale", "4") == 2
    assert "No input of it has a name: --set NODE.INPUT=VALUE sets any, and discomfort interface --write" in cli.err
    assert cli("interface", name, "--write") == 0
    assert "my flow.discomfort.yaml has all candidates as comments: remove the # before those" in cli.err
    assert cli("interface", name) == 0
    assert "no input has a name: write some into " in cli.err

    cli.connector.interface = TYPED
    assert cli("interface", name) == 0
    assert "no input has a name" not in cli.err


def test_nothing_of_a_sidecar_is_lost(cli: Cli, tmp_path: Path) -> None:
    """``--force`` does not replace entries that the interface has not, and no second sidecar is made."""
    problem = InterfaceProblem("sidecar", "input 'a'", "there is no node 3", "did you mean '4.x'?")
    cli.connector.interface = Interface(TYPED.inputs, TYPED.outputs, (problem,))
    name, made = write(tmp_path / "a.json", prompt("Save")), tmp_path / "a.discomfort.yaml"
    made.write_text("mine", encoding="utf-8")
    assert cli("interface", name, "--write", "--force") != 0
    assert "a.discomfort.yaml was not replaced: what is wrong in it would be lost" in cli.err
    assert "input 'a': there is no node 3" in cli.err
    assert made.read_text("utf-8") == "mine"

    made.rename(tmp_path / "a.discomfort.toml")
    assert cli("interface", name, "--write", "--force") == 2
    assert "a.discomfort.toml is there already, and a workflow has one sidecar" in cli.err
    assert not made.exists()


def test_stubs_are_written(cli: Cli, tmp_path: Path) -> None:
    """Two files for each workflow, again where they are; a file of somebody else is kept."""
    cli.connector.interface = TYPED
    names = [write(tmp_path / "my-upscale.json", prompt("Save")), write(tmp_path / "b.json", prompt("Save"))]
    for _ in range(2):
        assert cli("stubs", *names, "-o", "made/stubs") == 0
        assert cli.out.splitlines() == ["made/stubs/my_upscale.pyi", "made/stubs/b.pyi"]
    code = (tmp_path / "made/stubs/my_upscale.py").read_text("utf-8")
    assert "'../../my-upscale.json'" in code
    assert "interface=None" in code
    ast.parse(code)
    write(tmp_path / "names.json", {"inputs": {}})
    assert cli("stubs", names[0], "-o", "made/stubs", "--interface", "names.json") == 0
    code = (tmp_path / "made/stubs/my_upscale.py").read_text("utf-8")
    assert "INTERFACE = (pathlib.Path(__file__).parent / '../../names.json').resolve()" in code
    assert "interface=INTERFACE" in code

    (tmp_path / "made/stubs/b.py").write_text("mine = 1\n", encoding="utf-8")
    assert cli("stubs", *names, "-o", "made/stubs") == 2
    assert "b.py is there, and discomfort stubs has not made it" in cli.err
    (tmp_path / "sub").mkdir()
    assert cli("stubs", names[1], write(tmp_path / "sub" / "b.json", prompt("Save"))) == 2
    assert "would both be the module b" in cli.err
