"""Workflow files that a prompt names: which are read, and how they are converted."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from discomfort.context.exchange import PYTHON
from discomfort.exceptions import ConversionError, PayloadError
from discomfort.nodes.conversion_process import converted
from discomfort.nodes.workflow_files import DEFAULT, LARGEST, WorkflowFile, WorkflowFolders

PROMPT = {"1": {"class_type": "A", "inputs": {}}}


@pytest.fixture
def folders(tmp_path: Path) -> WorkflowFolders:
    """A ComfyUI folder with packs and uploads, and the file of a pack elsewhere."""
    for name in ("custom_nodes/pack", "input/sub", "models", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("custom_nodes/pack/a.json", "input/b.json", "input/sub/c.json", "models/m.json", "elsewhere/d.json"):
        (tmp_path / name).write_text(json.dumps(PROMPT))
    roots = [tmp_path / "custom_nodes", tmp_path / "input"]
    return WorkflowFolders(tmp_path, roots, (tmp_path / "elsewhere" / "d.json").resolve())


@pytest.mark.parametrize(
    "name",
    [
        "custom_nodes/pack/a.json",
        "pack/a.json",
        "input/b.json",
        "b.json",
        "sub/c.json",
        "input/../input/b.json",
        DEFAULT,
    ],
)
def test_files_in_the_folders(folders: WorkflowFolders, name: str) -> None:
    """From ComfyUI's folder or from one of them; the default also where the pack is somewhere else."""
    found = folders.read(name)

    assert (found.graph, found.is_prompt, len(found.digest)) == (PROMPT, True, 64)
    if name != DEFAULT:
        assert folders.read(str(folders.base / "input" / "b.json")).graph == PROMPT


@pytest.mark.parametrize("name", ["models/m.json", "elsewhere/d.json", "input/../models/m.json", "input/link.json"])
def test_files_outside_of_the_folders(folders: WorkflowFolders, name: str) -> None:
    """Whatever leads there: other folders of ComfyUI, dots, links."""
    (folders.base / "input" / "link.json").symlink_to(folders.base / "models" / "m.json")
    folders = WorkflowFolders(folders.base, folders.roots)
    for each in (name, str(folders.base / name)):
        with pytest.raises(PayloadError, match="in none of the folders of workflows: move it to"):
            folders.read(each)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[]", "neither a workflow nor a prompt"),
        (b"{}", "neither a workflow nor a prompt"),
        (b'{"1": {"class_type": 3, "inputs": {}}}', "neither a workflow nor a prompt"),
        (b" " * (LARGEST + 1), "is larger than 16 MiB"),
    ],
    ids=["cut off", "nested", "not text", "list", "empty", "no class", "large"],
)
def test_wrong_content(folders: WorkflowFolders, content: bytes, text: str) -> None:
    """The error names the file."""
    (folders.base / "input" / "x.json").write_bytes(content)
    with pytest.raises(PayloadError, match=rf"x\.json.*{text}"):
        folders.read("x.json")


@pytest.mark.parametrize("name", ["", "  ", "a\0.json", "b.txt", "b", "input", "/etc/passwd"])
def test_wrong_names(folders: WorkflowFolders, name: str) -> None:
    """Only JSON files have one."""
    with pytest.raises(PayloadError, match="workflow_json"):
        folders.read(name)


def test_pipe(folders: WorkflowFolders) -> None:
    """It is no file, and nothing waits for it."""
    os.mkfifo(folders.base / "input" / "p.json")
    with pytest.raises(PayloadError, match="is not there"):
        folders.read("p.json")


def test_body_of_a_request(folders: WorkflowFolders) -> None:
    """The prompt inside counts; with nodes it is a workflow of the UI."""
    (folders.base / "input" / "x.json").write_text(json.dumps({"prompt": PROMPT}))
    assert folders.read("x.json").graph == PROMPT
    (folders.base / "input" / "x.json").write_text(json.dumps({"nodes": [], "links": []}))
    assert not folders.read("x.json").is_prompt


def python(tmp_path: Path, script: str) -> str:
    """An interpreter that does what a script says."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


FILE = WorkflowFile("x.json", b'{"nodes": []}', {"nodes": []})


async def test_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter of the environment gets the file as its input, and the server's address."""
    script = f"echo \"$@ $PYTHONPATH\" > {tmp_path}/words; cat > {tmp_path}/input; echo '{json.dumps(PROMPT)}'"
    monkeypatch.setenv(PYTHON, python(tmp_path, script))
    monkeypatch.delenv("PYTHONPATH", raising=False)

    assert await converted(FILE, "http://127.0.0.1:1", Path("/library"), lambda: None) == PROMPT
    assert (tmp_path / "input").read_bytes() == FILE.data
    assert (tmp_path / "words").read_text() == "-m discomfort convert - --attach http://127.0.0.1:1 /library\n"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (
            "echo 'No module named discomfort' >&2; exit 1",
            r"x\.json could not be converted.*save it in API format.*PYTHON",
        ),
        ("echo 'the page is gone' >&2; exit 1", "the page is gone$"),
        ("echo nothing", "gave no prompt"),
        ("echo '[]'", "gave no prompt"),
    ],
)
async def test_conversions_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, text: str) -> None:
    """The error says why, and what to do where the library is missing."""
    monkeypatch.setenv(PYTHON, python(tmp_path, f"cat > /dev/null; {script}"))
    with pytest.raises(ConversionError, match=text):
        await converted(FILE, "http://127.0.0.1:1", tmp_path, lambda: None)


async def test_no_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it and the remedy."""
    monkeypatch.setenv(PYTHON, str(tmp_path / "nobody"))
    with pytest.raises(ConversionError, match="nobody cannot be started.*save it in API format"):
        await converted(FILE, "http://127.0.0.1:1", tmp_path, lambda: None)


async def test_run_that_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends with it, and the caller gets ComfyUI's own exception."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    script = f"trap 'touch {ended}; exit 1' TERM; touch {begun}; while :; do sleep 0.05; done"
    monkeypatch.setenv(PYTHON, python(tmp_path, script))

    class Interrupted(Exception):
        pass

    def check() -> None:
        if begun.exists():
            raise Interrupted

    with pytest.raises(Interrupted):
        await converted(FILE, "http://127.0.0.1:1", tmp_path, check)
    assert ended.exists()


def test_default_workflow() -> None:
    """It is in the repository, in API format, so that it needs no conversion."""
    path = Path(__file__).parents[3] / "test_workflow.json"
    graph: dict[str, Any] = json.loads(path.read_text())
    assert {node["class_type"] for node in graph.values()} == {"DiscomfortPort", "ImageInvert"}
