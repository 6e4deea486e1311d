"""The drift guard: what it finds between two servers, and what it says about servers that die."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.parity import servers
from benchmarks.parity.bodies import node
from benchmarks.parity.servers import Server
from benchmarks.versions import __main__ as versions
from benchmarks.versions import drift_report, installations, node_classes, trap_prompts, trap_scenes
from benchmarks.versions.drift_report import DIFFERS, ONLY_A, ONLY_B, SAME, Finding
from benchmarks.versions.sides import PACKS, Side
from benchmarks.versions.trial import Trial

Groups = dict[str, list[Finding]]
EMPTY_IMAGE: dict[str, Any] = {
    "input": {"required": {"width": ["INT", {"default": 8, "min": 1, "max": 64}], "shade": [["dark", "light"], {}]}},
    "output": ["IMAGE", "MASK"],
    "output_is_list": [False, False],
    "output_name": ["IMAGE", "MASK"],
    "name": "EmptyImage",
    "display_name": "Empty",
    "description": "",
    "python_module": "nodes",
    "category": "image",
    "output_node": False,
}
SCENARIOS = ("a plain run", "two clients", "an error in the middle", "interrupted")
TRAPS = ("client_id is a list", "unknown class", "a node raises SystemExit", "levels on saving: the inverse of 65")


def compared(*words: str) -> Groups:
    """The findings of the command with these words."""
    return versions.compare(versions.parse([*words]))[1]


def verdicts(found: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.verdict for finding in found}


@pytest.fixture(scope="module")
def of_one_server() -> Groups:
    """The emulator compared with itself."""
    words = ["--comfyui", "emulator", "--comfyui", "emulator"]
    for option, values in (("--scenario", SCENARIOS), ("--trap", TRAPS)):
        words += [word for value in values for word in (option, value)]
    return compared(*words)


def test_a_server_does_not_differ_from_itself(of_one_server: Groups) -> None:
    """No group finds a difference where there is none: no id, time, port or folder counts."""
    found = {(name, f) for name, group in of_one_server.items() for f in group if f.verdict != SAME}
    assert found == set()
    assert {"messages in their order", "node classes", "traps", "routes used by the client"} <= of_one_server.keys()


def test_every_scenario_route_and_trap_is_compared(of_one_server: Groups) -> None:
    """The groups have what was asked for, and messages of several kinds."""
    assert [f.subject for f in of_one_server["messages in their order"]] == list(SCENARIOS)
    assert [f.subject for f in of_one_server["traps"]] == sorted(TRAPS, key=versions.TRAPS.index)
    assert {"message executed", "message progress_state", "history record"} <= verdicts(
        of_one_server["fields of messages and records"]
    ).keys()
    assert "GET /system_stats" in verdicts(of_one_server["routes used by the client"])
    assert "--port" in verdicts(of_one_server["options of the command line"])


def test_the_emulator_survives_the_traps(of_one_server: Groups) -> None:
    """What is the same says what it is."""
    told = {f.subject: f.details[0] for f in of_one_server["traps"]}
    assert all("goes on" in told[name] for name in TRAPS[:3]), told
    assert "saved as 189" in told[TRAPS[3]]


def test_other_definitions_are_found(tmp_path: Path) -> None:
    """A class that only one has, and one whose inputs and outputs changed, are told with the place."""
    known = tmp_path / "object_info.json.gz"
    known.write_bytes(gzip.compress(json.dumps({"OnlyThere": EMPTY_IMAGE, "EmptyImage": EMPTY_IMAGE}).encode()))

    groups = compared("--comfyui", "emulator", "--comfyui", f"emulator:{known}", "--part", "nodes")

    classes = {f.subject: f for f in groups["node classes"]}
    assert classes["OnlyThere"].verdict == ONLY_B
    assert classes["EmptyImage"].verdict == DIFFERS
    told = "\n".join(classes["EmptyImage"].details)
    assert "inputs.shade: only in B" in told
    assert "inputs.height: only in A" in told
    assert "inputs.width.default: 512 → 8" in told
    assert {f.verdict for f in groups["node classes"] if f.subject not in ("OnlyThere", "EmptyImage")} <= {SAME, ONLY_A}


def test_command_line(tmp_path: Path) -> None:
    """Two sides are needed, and a folder without ComfyUI is refused with its path."""
    with pytest.raises(SystemExit):
        versions.parse(["--comfyui", "emulator"])
    with pytest.raises(FileNotFoundError, match=r"no main\.py"):
        Side.named(str(tmp_path))


def test_report() -> None:
    """Text and JSON have every finding under its verdict."""
    groups = {
        "routes": [
            Finding("GET /a", SAME),
            Finding("GET /b", DIFFERS, ("status: 200 → 404",)),
            Finding("GET /c", ONLY_A),
            Finding("GET /d", ONLY_B),
        ]
    }
    traps = [Finding("a trap", SAME, ("goes on",)), Finding("another", DIFFERS, ("goes on → dies",))]
    table = "| | A | B |\n|---|---|---|\n| a trap | goes on | goes on |\n| another | goes on | dies |"
    assert drift_report.as_table(traps) == table
    text = drift_report.as_text({"A": "one", "B": "other"}, groups | {"traps": traps})
    assert "  same: a trap = goes on" in text
    assert "routes: 1 same, 1 differs, 1 only in A, 1 only in B" in text
    assert "  differs: GET /b\n      status: 200 → 404" in text
    assert json.loads(drift_report.as_json({"A": "one"}, groups))["groups"]["routes"] == {
        "same": {"GET /a": []},
        "differs": {"GET /b": ["status: 200 → 404"]},
        "only in A": {"GET /c": []},
        "only in B": {"GET /d": []},
    }


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ({"x": {"y": 1}}, {"x": {"y": 2}}, ["x.y: 1 → 2"]),
        ({"x": 1}, {}, ["x: only in A: 1"]),
        (["a", "b"], ["b", "c"], [': only in A: ["a"]', ': only in B: ["c"]']),
        (["a", "b"], ["b", "a"], [': another order: ["a", "b"] → ["b", "a"]']),
        ([1, [2]], [1, [3]], ["[1][0]: 2 → 3"]),
        (1, True, ["1 → true"]),
        ({"x": None}, {"x": None}, []),
    ],
)
def test_differences(a: object, b: object, told: list[str]) -> None:
    """Every place is named."""
    assert list(drift_report.differences(a, b)) == told


def test_options_of_a_help_text() -> None:
    """An option goes by its first long name, with what it takes."""
    text = "options:\n  -h, --help            show it\n  --cache-ram [GB ...]  Use\n                  --not\n"
    assert installations.options(text) == {"--help": "-h, --help", "--cache-ram": "--cache-ram [GB ...]"}


def test_dialects_are_told_apart() -> None:
    """The same input in both dialects is only a change of the dialect."""
    newer = EMPTY_IMAGE | {"api_node": False, "output_tooltips": [None]}
    shade = ["COMBO", {"multiselect": False, "options": ["dark", "light"]}]
    newer["input"] = {"required": EMPTY_IMAGE["input"]["required"] | {"shade": shade}}
    (finding,) = node_classes.compare({"X": EMPTY_IMAGE}, {"X": newer})["node classes"]
    assert finding.details == ("dialect: older → newer",)


@pytest.fixture
def crashing() -> Iterator[Server]:
    """An emulator whose process ends when a node of a class begins."""
    with servers.emulator("--fault", "crash_at=TrapHarm", packs=PACKS) as server:
        yield server


def test_a_process_that_ends_is_reported(crashing: Server) -> None:
    """With its status; it is not waited for."""
    assert Trial(crashing).run({"1": node("TrapHarm", kind="nan")}) == "200; the process ends with -9"


class DeadWorker(Server):
    """A server whose log says that the thread of its runs has ended."""

    def log(self) -> str:
        """The line that Python writes."""
        return "Exception in thread Thread-1 (prompt_worker):\n"


def test_a_worker_that_dies_is_reported(crashing: Server) -> None:
    """Its process goes on, so its log says so."""
    trial = Trial(DeadWorker(crashing.url))
    assert trial.run({"1": node("PreviewAny", source="x")}) == "200; the worker dies"


def test_traps_have_names_of_their_own() -> None:
    """No trap hides another."""
    assert len(versions.TRAPS) == len(set(versions.TRAPS)) == len(trap_prompts.PROMPTS) + len(trap_scenes.SCENES)


@pytest.mark.parametrize("quick", [True, False])
def test_a_trap_has_a_server_of_its_own(quick: bool) -> None:
    """With ``quick``, one that went on after a trap serves for the next, too."""
    victims = versions.Victims(Side(None), quick=quick)
    try:
        assert victims.tried("unknown class").endswith("goes on")
        assert (victims._server is not None) is quick
    finally:
        victims.close()
