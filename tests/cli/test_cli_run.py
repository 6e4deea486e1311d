"""``discomfort run`` with a fake connector: arguments, streams, exit codes."""

from __future__ import annotations

import io
import json
import logging
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli.conftest import Cli
from cli.fakes_cli import FakeOutput, prompt, workflow, write

from discomfort.cli.report import _in_place
from discomfort.exceptions import ConfigurationError, ServerStartError


def png(**texts: str) -> bytes:
    """A PNG of text chunks only, as far as a reader of workflows looks."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    bodies = [chunk(b"tEXt", key.encode() + b"\0" + text.encode()) for key, text in texts.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(bodies) + chunk(b"IEND", b"")


def test_paths_go_to_stdout_and_the_rest_to_stderr(cli: Cli, tmp_path: Path) -> None:
    """In a pipe stdout has the saved paths and texts, one per line, and nothing else."""
    assert cli("run", write(tmp_path / "a.json", prompt("Save", "Text"))) == 0

    assert cli.out == "output/picture.png\nhello\n"
    assert Path("output/picture.png").read_bytes() == b"picture"
    assert "[1/2] Save, node 1" in cli.err
    assert "2 outputs" in cli.err
    assert cli.connector.names() == ["run", "kill"]


def test_quiet_leaves_stderr_empty(cli: Cli, tmp_path: Path) -> None:
    """With --quiet a run that goes well says nothing on stderr."""
    assert cli("run", "-q", write(tmp_path / "a.json", prompt("Save"))) == 0

    assert (cli.out, cli.err) == ("output/picture.png\n", "")


def test_nothing_is_overwritten(cli: Cli, tmp_path: Path) -> None:
    """A second run saves beside the first."""
    name = write(tmp_path / "a.json", prompt("Save"))
    cli("run", name, "-o", "deep/er")
    cli("run", name, "-o", "deep/er")

    assert cli.out == "deep/er/picture (2).png\n"


@pytest.mark.parametrize(("folder", "expected"), [("output", "out/sub/p.png"), ("temp", "out/p.png")])
def test_the_servers_own_file_is_not_doubled(cli: Cli, tmp_path: Path, folder: str, expected: str) -> None:
    """Where DIR is the server's output folder, the file that it put there is named and no copy made."""
    served = tmp_path / "out" / "sub" / "p.png"
    served.parent.mkdir(parents=True)
    served.write_bytes(b"picture")
    cli.connector.output_directory = tmp_path / "out"
    output = FakeOutput("1", "Save", "Save", "image", "images", {}, filename="p.png", subfolder="sub", folder=folder)
    cli.connector.outputs = lambda history: [output]

    assert cli("run", write(tmp_path / "a.json", prompt("Save")), "-o", "out") == 0

    assert cli.out == f"{expected}\n"
    assert (tmp_path / "out" / "p.png").exists() is (folder == "temp")


@pytest.mark.parametrize(("subfolder", "filename"), [("..", "secret"), ("", "../secret"), ("", "/etc/passwd")])
def test_a_servers_name_that_leads_elsewhere_is_downloaded(tmp_path: Path, subfolder: str, filename: str) -> None:
    """Only what really lies in the server's output folder counts as there."""
    (tmp_path / "out").mkdir()
    (tmp_path / "secret").write_bytes(b"")
    output = FakeOutput("1", "Save", "Save", "image", "images", {}, filename=filename, subfolder=subfolder)

    assert _in_place(output, tmp_path, tmp_path / "out") is None


def test_json_is_one_document(cli: Cli, tmp_path: Path) -> None:
    """--json gives the run as one object, and nothing else on stdout."""
    assert cli("run", "--json", write(tmp_path / "a.json", prompt("Save", "Text", "Value"))) == 0

    document = json.loads(cli.out)
    assert document["prompt_id"] == "pid"
    assert document["status"] == "success"
    assert document["error"] is None
    assert list(document["history"]) == ["pid"]
    saved, text, value = document["outputs"]
    assert saved == {
        "node_id": "1", "title": "Save", "class_type": "Save", "kind": "image", "key": "images",
        "path": str(tmp_path / "output/picture.png"),
    }  # fmt: skip
    assert text["text"] == "hello"
    assert value["value"] == [1, 2]


def test_json_of_several_is_a_list_with_the_failed_ones(cli: Cli, tmp_path: Path) -> None:
    """For several workflows --json is a list in their order; a failed one carries its error's facts."""
    names = [write(tmp_path / f"{i}.json", prompt(kind)) for i, kind in enumerate(("Fail", "Text"))]

    assert cli("run", "--json", *names) == 1

    failed, fine = json.loads(cli.out)
    assert failed["prompt_id"] == "pid"
    assert failed["error"]["type"] == "ExecutionError"
    assert (failed["error"]["node_id"], failed["error"]["exception_message"]) == ("1", "boom")
    assert fine["status"] == "success"


def test_a_failed_workflow_does_not_stop_the_next(cli: Cli, tmp_path: Path) -> None:
    """The second workflow runs, and the exit code is that of the first."""
    names = [write(tmp_path / f"{i}.json", prompt(kind)) for i, kind in enumerate(("Fail", "Save"))]

    assert cli("run", *names) == 1

    assert cli.out == "output/picture.png\n"
    assert "0.json: node 1 'Fail' raised ValueError: boom" in cli.err
    assert "traceback" in cli.err
    assert "server.py" not in cli.err
    assert "Traceback" not in cli.err


def test_verbose_shows_the_tracebacks(cli: Cli, tmp_path: Path) -> None:
    """With -v the server's traceback and ours are shown."""
    assert cli("run", "-v", write(tmp_path / "a.json", prompt("Fail"))) == 1

    assert "File server.py, line 1" in cli.err
    assert "Traceback (most recent call last)" in cli.err


def test_an_unexpected_error_is_a_message_with_a_hint(cli: Cli, tmp_path: Path) -> None:
    """A bug shows its type and text and how to see more, no traceback; the server is still shut down."""
    assert cli("run", write(tmp_path / "a.json", prompt("Crash"))) == 1

    assert "RuntimeError: a bug of ours" in cli.err
    assert "again with -v" in cli.err
    assert "Traceback" not in cli.err
    assert cli.connector.names()[-1] == "kill"


def test_saving_that_fails_is_a_failed_run(cli: Cli, tmp_path: Path) -> None:
    """A full disk is exit code 1, and what was there before it is still shown."""
    assert cli("run", write(tmp_path / "a.json", prompt("Text", "Unsavable"))) == 1

    assert cli.out == "hello\n"
    assert "No space left on device" in cli.err


@pytest.mark.parametrize("content", [None, "[1, 2]", "{", '{"a": 1}', ""])
def test_a_bad_file_starts_nothing(cli: Cli, tmp_path: Path, content: str | None) -> None:
    """A missing file, or one that holds no workflow, is exit code 2 before a server is started for it."""
    if content is not None:
        (tmp_path / "a.json").write_text(content)

    assert cli("run", "a.json") == 2

    assert cli.opened == []
    assert cli.err.startswith("error: a.json: ")
    assert cli.out == ""


def test_a_bad_file_does_not_stop_the_good_ones(cli: Cli, tmp_path: Path) -> None:
    """What can run runs; the exit code 2 is for the file that cannot."""
    good = write(tmp_path / "good.json", prompt("Text"))

    assert cli("run", "missing.json", good) == 2

    assert cli.out == "hello\n"
    assert "missing.json: No such file" in cli.err


def test_stdin_is_read(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` stands for standard input, once."""
    data = json.dumps(prompt("Text")).encode()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    assert cli("run", "-", "-") == 2

    assert cli.out == "hello\n"
    assert "only once" in cli.err


def test_a_picture_is_run_by_its_workflow(cli: Cli, tmp_path: Path) -> None:
    """A PNG stands for the workflow inside it."""
    (tmp_path / "a.png").write_bytes(png(prompt="{}", workflow=json.dumps(workflow("Text"))))

    assert cli("run", "a.png") == 0

    assert cli.connector.calls[0][1]["payload"] == workflow("Text")


def test_set_edits_a_prompt(cli: Cli, tmp_path: Path) -> None:
    """--set changes inputs by title, class or id; JSON values keep their type."""
    name = write(tmp_path / "a.json", prompt("Text", text="old", seed=1))

    assert cli("run", name, "--set", "Text.text=a=b", "--set", "1.seed=42") == 0

    assert cli.out == "a=b\n"
    assert cli.connector.calls[0][1]["payload"]["1"]["inputs"] == {"text": "a=b", "seed": 42}


def test_set_falls_back_to_the_converted_prompt(cli: Cli, tmp_path: Path) -> None:
    """Where a widget cannot be told for certain, the prompt is edited, and the workflow still travels along."""
    name = write(tmp_path / "a.json", workflow("Text"))

    assert cli("run", name, "--set", "Text.text=new") == 0

    assert cli.connector.names() == ["convert", "run", "kill"]
    ran = cli.connector.calls[1][1]
    assert ran["payload"]["1"]["inputs"] == {"text": "new"}
    assert ran["extra_data"] == {"extra_pnginfo": {"workflow": workflow("Text")}}
    assert "set on the converted prompt" in cli.err


@pytest.mark.parametrize("selector", ["Second/Text.text", "12/1.text"])
def test_set_takes_the_path_of_a_node_inside(cli: Cli, tmp_path: Path, selector: str) -> None:
    """Also on the converted prompt, which does not have the titles of subgraphs: one subgraph is used twice here."""
    made = workflow()
    made["definitions"] = {"subgraphs": [workflow("Text") | {"id": "half", "name": "Half"}]}
    made["nodes"] = [{"id": 10, "type": "half", "title": "First"}, {"id": 12, "type": "half", "title": "Second"}]
    name = write(tmp_path / "a.json", made)

    assert cli("run", name, "--set", f"{selector}=new") == 0

    ran = cli.connector.calls[1][1]["payload"]
    assert {key: node["inputs"] for key, node in ran.items()} == {"10:1": {"text": "old"}, "12:1": {"text": "new"}}


@pytest.mark.parametrize("selector", ["Nothing.text", "Text.nothing", "Text.text"])
def test_a_selector_that_fits_nothing_is_a_usage_error(cli: Cli, tmp_path: Path, selector: str) -> None:
    """Unknown and ambiguous selectors are exit code 2, with the candidates."""
    name = write(tmp_path / "a.json", prompt("Text", "Text", text="x"))

    assert cli("run", name, "--set", f"{selector}=1") == 2

    assert "#1.text" in cli.err
    assert "run" not in cli.connector.names()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set", "nonsense"], "NODE.INPUT=VALUE"),
        (["--timeout", "0"], "more than 0"),
        (["--timeout", "nan"], "more than 0"),
        (["--header", "A: b"], "--attach"),
        (["--proxy", "http://me:s3cret@x"], "--attach"),
        (["--attach", "http://x", "--header", "s3cret"], "Name: value"),
        (["--attach", "http://x", "--header", "A: s3cret\r\nB: c"], "Name: value"),
        (["--attach", "http://x", "--engine", "comfyui"], "--attach"),
        (["--input", "missing.png"], "missing.png: No such file"),
        (["--output", "a.json"], "is not a folder"),
        (["--output", "a.json/below"], "is not a folder"),
        (["--engine", "nix"], "nix"),
        (["--config"], "--config"),
    ],
)
def test_usage_errors_start_nothing(cli: Cli, tmp_path: Path, options: list[str], told: str) -> None:
    """What is wrong with the command line is said at once, with exit code 2, and never shows a header's value."""
    write(tmp_path / "a.json", prompt("Text"))

    assert cli("run", "a.json", *options) == 2

    assert told in cli.err
    assert "s3cret" not in cli.err
    assert (cli.opened, cli.out) == ([], "")


def test_inputs_are_uploaded_and_taken_away(cli: Cli, tmp_path: Path) -> None:
    """--input goes to the input folder as an ephemeral file, before the first run."""
    (tmp_path / "photo.png").write_bytes(b"x")

    assert cli("run", write(tmp_path / "a.json", prompt("Text")), "--input", "photo.png") == 0

    assert cli.connector.calls[0] == ("upload", ("photo.png", "input", True))


def test_inputs_stay_on_an_attached_server(cli: Cli, tmp_path: Path) -> None:
    """Nothing can be deleted over HTTP; the name that the server chose is shown."""
    (tmp_path / "photo.png").write_bytes(b"x")
    cli.connector.upload_name = "photo (1).png"
    name = write(tmp_path / "a.json", prompt("Text"))

    assert cli("run", name, "--input", "photo.png", "--attach", "http://x", "-q") == 0

    assert cli.connector.calls[0] == ("upload", ("photo.png", "input", False))
    assert "photo (1).png" in cli.err


def test_two_inputs_of_one_name_are_refused(cli: Cli, tmp_path: Path) -> None:
    """They would have one name on the server."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(b"")

    assert cli("run", write(tmp_path / "w.json", prompt("Text")), "--input", "a/x.png", "--input", "b/x.png") == 2

    assert "another --input has the same file name" in cli.err


def test_the_target_is_what_was_asked_for(cli: Cli, tmp_path: Path) -> None:
    """Options reach the connector; headers may come from a file and are in no repr, nor is the proxy."""
    name = write(tmp_path / "a.json", prompt("Text"))
    (tmp_path / "headers").write_text("Authorization: Bearer s3cret\n\nX-Two: 2\n")

    cli("run", name, "--config", "c.json", "--engine", "emulator", "--timeout", "2.5")
    cli("run", name, "--attach", "http://x", "--header", "@headers", "--header", "X-Three:3",
        "--proxy", "http://me:s3cret@p:3128")  # fmt: skip

    started, attached = cli.opened
    assert (started.config, started.engine, started.attach) == (Path("c.json"), "emulator", None)
    assert attached.headers == {"Authorization": "Bearer s3cret", "X-Two": "2", "X-Three": "3"}
    assert attached.proxy == "http://me:s3cret@p:3128"
    assert "s3cret" not in repr(attached)
    assert cli.connector.calls[0][1]["timeout"] == 2.5


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("is not there", key="COMFYUI_PATH", value="/x"), 2),
        (FileNotFoundError("configuration file c.json does not exist"), 2),
        (ServerStartError("it exited", exit_code=3), 1),
    ],
)
def test_a_start_that_fails(cli: Cli, tmp_path: Path, error: Exception, code: int) -> None:
    """A wrong configuration is exit code 2, a server that does not start 1; --json still gives a document."""

    def fail() -> None:
        raise error

    cli.on_open = fail

    assert cli("run", "--json", write(tmp_path / "a.json", prompt("Text"))) == code

    assert f"error: {error}" in cli.err
    assert json.loads(cli.out)["error"]["type"] == type(error).__name__


def test_the_engine_is_told_once(cli: Cli, tmp_path: Path) -> None:
    """The connector's own line about the engine is shown; without one the engine's name is."""
    name = write(tmp_path / "a.json", prompt("Text"))
    cli("run", name)
    assert "engine: comfyui\n" in cli.err

    log = logging.getLogger("discomfort.connector")
    cli.on_open = lambda: log.info("engine: %s (%s)", "comfyui", "found")
    cli("run", name)
    assert cli.err.count("engine:") == 1
    assert "engine: comfyui (found)\n" in cli.err


def test_the_emulator_is_told_even_when_quiet(cli: Cli, tmp_path: Path) -> None:
    """Results of the emulator are never taken for ComfyUI's by silence."""
    log = logging.getLogger("discomfort.connector")
    cli.on_open = lambda: log.warning("engine: %s (%s)", "emulator", "no ComfyUI")

    cli("run", "-q", write(tmp_path / "a.json", prompt("Text")))

    assert cli.err == "warning: engine: emulator (no ComfyUI)\n"


def test_the_log_is_shown_as_far_as_asked(cli: Cli, tmp_path: Path) -> None:
    """Warnings always, information with -v, the rest with -vv; the logger is left as it was."""
    log = logging.getLogger("discomfort.part")
    name = write(tmp_path / "a.json", prompt("Text"))

    def speak() -> None:
        log.debug("fine print")
        log.info("by the way")
        log.warning("beware")

    cli.on_open = speak
    shown = {}
    for option in ("-q", "-v", "-vv"):
        cli("run", name, option)
        shown[option] = [word for word in ("fine print", "by the way", "beware") if word in cli.err]

    assert shown == {"-q": ["beware"], "-v": ["by the way", "beware"], "-vv": ["fine print", "by the way", "beware"]}
    assert logging.getLogger("discomfort").handlers == []


def test_titles_can_not_command_the_terminal(cli: Cli, tmp_path: Path) -> None:
    """Control codes in a title or a message do not reach the terminal; markup is text."""
    hostile = prompt("Steps", "Fail")
    hostile["1"]["_meta"] = {"title": "\x1b[31m[bold]red\x07"}

    assert cli("run", write(tmp_path / "a.json", hostile)) == 1

    assert "\x1b" not in cli.err
    assert "\x07" not in cli.err
    assert "[bold]red" in cli.err


def test_steps_are_told_in_tenths(cli: Cli, tmp_path: Path) -> None:
    """Twenty steps make ten lines."""
    cli("run", write(tmp_path / "a.json", prompt("Steps")))

    assert cli.err.count("Steps: step ") == 10
    assert "Steps: step 20 of 20" in cli.err
