"""``discomfort convert`` with a fake connector."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Cli
from cli.fakes_cli import workflow, write

from discomfort._system.atomic_files import write_atomically

PROMPT = {"1": {"class_type": "Text", "inputs": {"text": "old"}, "_meta": {"title": "Text"}}}


def test_one_prompt_goes_to_stdout(cli: Cli, tmp_path: Path) -> None:
    """Stdout is the prompt and nothing else."""
    assert cli("convert", write(tmp_path / "a.json", workflow("Text"))) == 0

    assert json.loads(cli.out) == PROMPT
    assert cli.connector.names() == ["convert", "kill"]


def test_several_go_to_stdout_by_name(cli: Cli, tmp_path: Path) -> None:
    """Several make one document; one that fails is left out and makes the exit code 1."""
    for name, kind in (("a", "Text"), ("b", "Fail"), ("c", "Text")):
        write(tmp_path / f"{name}.json", workflow(kind))

    assert cli("convert", "a.json", "b.json", "c.json") == 1

    assert json.loads(cli.out) == {"a.json": PROMPT, "c.json": PROMPT}
    assert "b.json: RuntimeError: no conversion" in cli.err


def test_a_file_is_written(cli: Cli, tmp_path: Path) -> None:
    """-o FILE has the prompt, and stdout the file's name; folders are made."""
    name = write(tmp_path / "a.json", workflow("Text"))

    assert cli("convert", name, "-o", "new/p.json") == 0

    assert json.loads(Path("new/p.json").read_bytes()) == PROMPT
    assert cli.out == "new/p.json\n"
    assert [path.name for path in Path("new").iterdir()] == ["p.json"]


def test_several_are_written_to_a_folder(cli: Cli, tmp_path: Path) -> None:
    """-o DIR gets a file for each."""
    names = [write(tmp_path / f"{name}.json", workflow("Text")) for name in "ab"]

    assert cli("convert", *names, "-o", "prompts") == 0

    assert sorted(path.name for path in Path("prompts").iterdir()) == ["a.prompt.json", "b.prompt.json"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a.json", "-o", "a.json"], "replace the workflow itself"),
        (["a.json", "./a.json", "-o", "prompts"], "same file name"),
        (["a.json", "b.json", "-o", "a.json"], "a folder is needed"),
        (["a.json", "--header", "A: b"], "--attach"),
    ],
)
def test_usage_errors_start_nothing(cli: Cli, tmp_path: Path, arguments: list[str], told: str) -> None:
    """A target that makes no sense is refused before a server is started."""
    before = write(tmp_path / "a.json", workflow("Text"))
    write(tmp_path / "b.json", workflow("Text"))
    content = Path(before).read_bytes()

    assert cli("convert", *arguments) == 2

    assert told in cli.err
    assert cli.opened == []
    assert Path(before).read_bytes() == content


def test_a_bad_file_is_told_and_the_rest_converted(cli: Cli, tmp_path: Path) -> None:
    """Exit code 2 for the file that cannot be read; the other is converted."""
    assert cli("convert", "missing.json", write(tmp_path / "a.json", workflow("Text"))) == 2

    assert "missing.json: No such file" in cli.err
    assert list(json.loads(cli.out)) == [str(tmp_path / "a.json")]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file stays, and no temporary one."""
    target = tmp_path / "p.json"
    target.write_bytes(b"old")

    def refuse(self: Path, target: Path) -> None:
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        write_atomically(target, b"new")

    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]
