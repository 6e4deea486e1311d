"""Pass-by rules: the presets, the files that override them, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from discomfort.config import unknown_variables
from discomfort.exceptions import ConfigurationError
from discomfort.workflow.pass_by import BUILT_IN_RULES, pass_by
from discomfort.workflow_tools import WorkflowTools


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISCOMFORT_PASS_BY_RULES", raising=False)


def test_presets_are_the_documented_ones() -> None:
    """All 16, and nothing heavy by value."""
    rules = WorkflowTools().pass_by_rules
    by_reference = ("MODEL", "CLIP", "VAE", "CONDITIONING", "CONTROL_NET")
    by_value = ("LATENT", "IMAGE", "MASK", "STRING", "INT", "FLOAT", "BOOLEAN", "TUPLE", "LIST", "DICT", "ANY")

    assert [rules[kind] for kind in by_reference] == ["ref"] * 5
    assert [rules[kind] for kind in by_value] == ["val"] * 11


def test_rule_of_a_type() -> None:
    """Case is ignored; types without a rule, and lists of types that differ, are decided by their value. D19."""
    assert [pass_by(BUILT_IN_RULES, kind) for kind in ("model", "Image", "WAN_PIPE", "*", "ANY", "INT,FLOAT")] == [
        "ref", "val", "auto", "auto", "auto", "val",
    ]  # fmt: skip
    assert pass_by(BUILT_IN_RULES, "IMAGE,MODEL") == "auto"


def test_a_file_overrides_single_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by argument, variable, or lying in the working directory; comments and trailing commas are allowed. C16."""
    (tmp_path / "pass_by_rules.json").write_text('{\n// mine\n"vae": "VAL", /* and */ "X": "auto",\n}')
    (tmp_path / "other.json").write_text('{"VAE": "auto"}')
    assert WorkflowTools().pass_by_rules == {**BUILT_IN_RULES, "VAE": "val", "X": "auto"}

    monkeypatch.setenv("DISCOMFORT_PASS_BY_RULES", "other.json")
    assert WorkflowTools().pass_by_rules == {**BUILT_IN_RULES, "VAE": "auto"}
    assert WorkflowTools(tmp_path / "pass_by_rules.json").pass_by_rules["VAE"] == "val"


def test_rules_are_read_again(tmp_path: Path) -> None:
    """And the table of one object is a copy that its owner may change."""
    tools = WorkflowTools()
    tools.pass_by_rules["MODEL"] = "val"
    (tmp_path / "pass_by_rules.json").write_text('{"CLIP": "auto"}')

    assert tools._load_pass_by_rules() == {**BUILT_IN_RULES, "CLIP": "auto"}
    assert BUILT_IN_RULES["MODEL"] == "ref"


@pytest.mark.parametrize(
    "text", ['{"MODEL": "value"}', '{"MODEL": 1}', "[]", "{", '{"": "val"}', '{"a": "val", "A": "ref"}']
)
def test_a_wrong_file_is_an_error(tmp_path: Path, text: str) -> None:
    """Never "everything by value". C10."""
    (tmp_path / "pass_by_rules.json").write_text(text)
    with pytest.raises(ConfigurationError, match="pass_by_rules.json") as caught:
        WorkflowTools()

    assert isinstance(caught.value, ValueError)


def test_a_wrong_value_names_key_and_remedy(tmp_path: Path) -> None:
    """And the nearest value."""
    (tmp_path / "r.json").write_text('{"MODEL": "reff"}')
    with pytest.raises(
        ConfigurationError, match=r"MODEL='reff' \(from .*r.json\): must be 'val', 'ref' or 'auto'; .*ref"
    ):
        WorkflowTools("r.json")


def test_a_named_file_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """FileNotFoundError, also if the variable names it, which is no unknown variable of a connector."""
    with pytest.raises(FileNotFoundError):
        WorkflowTools("none.json")
    monkeypatch.setenv("DISCOMFORT_PASS_BY_RULES", "none.json")
    with pytest.raises(FileNotFoundError):
        WorkflowTools()
    assert unknown_variables() == []
