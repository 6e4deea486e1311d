"""Files of sidecars: found beside the workflow, read whole, or refused by a typed error that names the file."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from unit.functions.test_loaded_workflows import PROMPT, Host

from discomfort.exceptions import PayloadError
from discomfort.functions import sidecar_files
from discomfort.functions.loading import load_function
from discomfort.functions.sidecar_files import read_sidecar
from discomfort.workflow.interface.sidecar_names import sidecar_path, stem_of

NAMES = '{"inputs": {"number": "1.value"}}'


def workflow(folder: Path, name: str = "show.json") -> Path:
    """A workflow's file; its content is not read here."""
    path = folder / name
    path.write_text("{}")
    return path


def test_names_with_dots(tmp_path: Path) -> None:
    """Only the suffix is left out, and that of App Mode: two versions of a workflow have two sidecars."""
    assert [stem_of(name) for name in ("a.json", "a.app.json", "wan2.1.json", "wan2.2.png", "a", ".json")] == [
        "a", "a", "wan2.1", "wan2.2", "a", ".json"
    ]  # fmt: skip
    assert sidecar_path(Path("x/wan2.1.json")) == Path("x/wan2.1.discomfort.yaml")
    (tmp_path / "wan2.1.discomfort.json").write_text(NAMES)
    assert read_sidecar(workflow(tmp_path, "wan2.1.json"), None) == {"inputs": {"number": "1.value"}}
    assert read_sidecar(workflow(tmp_path, "wan2.2.json"), None) is None


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder, a pipe or a broken link with the name of a sidecar is not passed over; a pipe is not waited for."""
    path, beside = workflow(tmp_path), tmp_path / "show.discomfort.yaml"
    beside.mkdir()
    with pytest.raises(PayloadError, match=r"show\.discomfort\.yaml: the sidecar is a folder"):
        read_sidecar(path, None)
    beside.rmdir()
    os.mkfifo(beside)
    with pytest.raises(PayloadError, match="the sidecar is not a regular file"):
        read_sidecar(path, None)
    beside.unlink()
    beside.symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match="no such sidecar: the link leads nowhere"):
        read_sidecar(path, None)


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error names the file, the reason and the remedy."""
    path, beside = workflow(tmp_path), tmp_path / "show.discomfort.yaml"
    beside.write_bytes(b"inputs: \xff")
    with pytest.raises(PayloadError, match=r"show\.discomfort\.yaml: the sidecar is not UTF-8 \(byte 8\): save it as"):
        read_sidecar(path, None)
    beside.write_bytes(b"")
    with pytest.raises(PayloadError, match=r"show\.discomfort\.yaml: the sidecar is empty"):
        read_sidecar(path, None)
    beside.write_bytes(b" " * (sidecar_files.LARGEST + 1))
    with pytest.raises(PayloadError, match="larger than 1 MiB"):
        read_sidecar(path, None)
    # Root may read everything.
    beside.write_text("inputs: {}")
    opened = Path.open

    def refused(own: Path, *given: Any, **more: Any) -> Any:
        if own == beside:
            raise PermissionError(13, "Permission denied", str(own))
        return opened(own, *given, **more)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(PayloadError, match=r"show\.discomfort\.yaml: the sidecar cannot be read: Permission denied"):
        read_sidecar(path, None)


def test_what_is_given_in_its_place(tmp_path: Path) -> None:
    """For a misspelt file, the error has the near name; for another kind of value, what is taken."""
    path = workflow(tmp_path)
    (tmp_path / "names.discomfort.json").write_text(NAMES)
    with pytest.raises(FileNotFoundError, match=r"no such sidecar; did you mean 'names\.discomfort\.json'\?"):
        read_sidecar(path, tmp_path / "name.discomfort.json")
    odd: dict[str, Any] = {
        "interface is the number 5: give a mapping, or the path of a sidecar": 5,
        "interface is a list of 1 item": ["a"],
        "cannot be a path": "a\0b",
        "cannot be read: File name too long": "x" * 5000,
    }
    for message, given in odd.items():
        with pytest.raises(PayloadError, match=message):
            read_sidecar(path, given)


async def test_problems_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At ``load``, and again only those that are new on a server with other nodes; never with a value."""
    host: Any = Host()
    sidecar = {"input": {}, "inputs": {"value": {"target": "1.value", "maximum": 8, "default": "a red fox"}}}
    with caplog.at_level(logging.WARNING, "discomfort"):
        show = await load_function(host, PROMPT, interface=sidecar, name="show")
    assert [record.getMessage().removesuffix("; write such a value, or leave it out") for record in caplog.records] == [
        "show: sidecar: the sidecar: the key 'input' is not known; did you mean 'inputs'?",
        "show: sidecar: input 'value': 'default' is a text, but it takes a number from 0 to 8",
    ]
    assert len(show.interface.problems) == 2
    caplog.clear()
    host.definitions = {"Show": {**host.definitions["Show"], "input": {"required": {"value": ["INT", {"max": 5}]}}}}
    await show._loaded.prepared()
    assert [record.getMessage().split(";")[0] for record in caplog.records][:1] == [
        "show: sidecar: input 'value': 'maximum' is 8, but 1.value takes a number of 5 or less",
    ]
    caplog.clear()
    many = {"inputs": {f"n{number}": "gone.x" for number in range(25)}}
    await load_function(host, PROMPT, interface=many, name="show")
    assert len(caplog.records) == 21
    assert caplog.records[-1].getMessage() == "show: 5 more, see interface.problems"
