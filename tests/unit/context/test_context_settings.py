"""``workflow_context.json``: found, read and checked; and the limit of memory that comes of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from discomfort import ConfigurationError, WorkflowContext
from discomfort._system import memory
from discomfort.config import unknown_variables
from discomfort.context.context_settings import ContextSettings, load_context_settings

DOCUMENTED = {"MAX_RAM_PERCENT": 50, "MAX_RAM_GB": 32, "CONTEXTS_DIR_NAME": "contexts"}


def write(path: Path, value: object) -> Path:
    """A file with that JSON, or that text."""
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_shipped_file_counts() -> None:
    """A clone has the documented one in its root, where the documentation says that people edit it."""
    settings = load_context_settings()
    assert settings == ContextSettings(50, 32, "contexts", "auto", Path(__file__).parents[3] / "workflow_context.json")


def test_order_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument, the environment variable, the working directory."""
    write(Path("workflow_context.json"), {"MAX_RAM_GB": 1})
    assert load_context_settings().max_ram_gb == 1
    monkeypatch.setenv("DISCOMFORT_WORKFLOW_CONTEXT", str(write(tmp_path / "named.json", {"max_ram_gb": 2})))
    assert load_context_settings().max_ram_gb == 2
    assert load_context_settings(write(tmp_path / "given.json", {"MAX_RAM_GB": 3})).max_ram_gb == 3
    assert unknown_variables() == []


def test_comments_and_trailing_commas(tmp_path: Path) -> None:
    """As the documentation prints the file."""
    text = """{
        // The most memory.
        "MAX_RAM_PERCENT": null, /* not this */
        "MAX_RAM_GB": 4,  // in GB
        "CONTEXTS_DIR_NAME": "not-a-comment",
    }"""
    settings = load_context_settings(write(tmp_path / "c.json", text))
    assert (settings.max_ram_gb, settings.contexts_dir_name) == (4, "not-a-comment")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"MAX_RAM_BG": 1}, "MAX_RAM_BG=1 (from {path}): unknown key; the nearest known key is MAX_RAM_GB"),
        ({"X": 1}, "unknown key; known keys are MAX_RAM_PERCENT, MAX_RAM_GB, CONTEXTS_DIR_NAME, TENSORS"),
        ({"MAX_RAM_GB": "4"}, "MAX_RAM_GB='4' (from {path}): must be a number"),
        ({"MAX_RAM_GB": True}, "must be a number"),
        ({"MAX_RAM_GB": -1}, "must be a number of gigabytes, 0 or more"),
        ({"MAX_RAM_PERCENT": [50]}, "MAX_RAM_PERCENT=[50] (from {path}): must be a number"),
        ('{"MAX_RAM_GB": Infinity}', "must be a number"),
        ({"CONTEXTS_DIR_NAME": "../up"}, "must be a plain name"),
        ({"CONTEXTS_DIR_NAME": ""}, "must be a plain name"),
        ({"TENSORS": "tf"}, "must be 'auto', 'torch' or 'numpy'"),
        ([], "config_path='{path}': must contain a JSON object, not a list"),
        ('{"MAX_RAM_GB": 1', "config_path='{path}': is not JSON"),
        ('{"MAX_RAM_GB": 1} // x\n}', "is not JSON"),
    ],
)
def test_errors_name_file_key_and_remedy(tmp_path: Path, content: object, words: str) -> None:
    """Each is a ConfigurationError, which is a ValueError."""
    path = write(tmp_path / "c.json", content)
    with pytest.raises(ConfigurationError) as caught:
        load_context_settings(path)
    assert words.format(path=path) in str(caught.value)


def test_named_file_must_exist(tmp_path: Path) -> None:
    """Also for the public class; and it must be a file."""
    with pytest.raises(FileNotFoundError, match=r"c\.json does not exist"):
        WorkflowContext(config_path=tmp_path / "c.json")
    with pytest.raises(ConfigurationError, match="is not a file"):
        WorkflowContext(config_path=tmp_path)


@pytest.mark.parametrize(
    ("argument", "settings", "gigabytes"),
    [
        (1.5, {"max_ram_percent": 50, "max_ram_gb": 32}, 1.5),
        (0, {"max_ram_gb": 32}, 0),
        (None, {"max_ram_percent": 25, "max_ram_gb": 32}, 2.5),
        (None, {"max_ram_gb": 32}, 32),
        (None, {"max_ram_percent": 0, "max_ram_gb": 3}, 3),
        (None, {"max_ram_percent": 101}, 2),
        (None, {}, 2),
    ],
)
def test_precedence_of_the_limit(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    argument: float | None,
    settings: dict[str, Any],
    gigabytes: float,
) -> None:
    """Argument, then percent of what is available, then the fixed size, then 2 GB. A wrong percentage is logged."""
    monkeypatch.setattr(memory, "available", lambda: 10_000_000_000)
    with caplog.at_level(logging.WARNING):
        assert ContextSettings(**settings).ram_limit(argument) == int(gigabytes * 1e9)
    assert ("is not between 0 and 100" in caplog.text) == (settings.get("max_ram_percent") in (0, 101))


@pytest.mark.parametrize("value", ["4", True, -1, float("nan"), float("inf"), 1e12])
def test_argument_is_checked(value: Any) -> None:
    """As a value of the file is."""
    with pytest.raises(ConfigurationError, match="max_ram_gb"):
        WorkflowContext(max_ram_gb=value)


def test_folder_name_of_the_file_is_used(tmp_path: Path) -> None:
    """And the limit."""
    path = write(tmp_path / "c.json", {"MAX_RAM_GB": 1, "CONTEXTS_DIR_NAME": "mine"})
    with WorkflowContext(path) as context:
        assert Path(context.receipt_path).parents[1].name == "mine"
        assert context.get_usage()["ram_capacity_gb"] == 1.0
        with pytest.raises(FileNotFoundError):
            WorkflowContext(run_id=context.run_id, create=False)
        assert WorkflowContext(path, run_id=context.run_id, create=False).list_keys() == []
