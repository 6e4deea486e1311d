"""``discomfort run --in … --out …``: values from the shell and into files, on a worker without a server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli.conftest import Cli
from cli.fakes_cli import write
from PIL import Image
from port_workflows import Graph
from unit.orchestration.conftest import places
from unit.orchestration.fake_worker import FakeWorker, node, picture, port

from discomfort import FileValue
from discomfort.cli.inputs import UsageError, read_pairs
from discomfort.cli.port_inputs import read_inputs
from discomfort.cli.port_outputs import read_files, save_value, write_value
from discomfort.cli.port_table import PortFact, PortTable
from discomfort.core_values.core_files import latent_file, read_latent

assert places  # the fixture

ADD = {"1": port("n"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("n", ["2", 0])}
INVERT = {"1": port("image"), "2": node("ImageInvert", image=["1", 0]), "3": port("inverted", ["2", 0])}
LATENT = {"1": port("width"), "2": node("EmptyLatentImage", width=["1", 0], height=64, batch_size=2),
          "3": port("latent", ["2", 0])}  # fmt: skip
LOADER = {"1": port("name"), "2": node("CheckpointLoaderSimple", ckpt_name=["1", 0]), "3": port("model", ["2", 0])}
ANY = {"1": port("x"), "2": node("StandInAny", value=["1", 0]), "3": port("y", ["2", 0])}
FAIL = {"1": port("n"), "2": node("StandInFail", value=["1", 0]), "3": port("m", ["2", 0])}


class Server(FakeWorker):
    """What the command needs of a connector beside that."""

    server_address = "http://127.0.0.1:1"
    output_directory = None
    _settings = SimpleNamespace(warm_nodes=0, exact=False)

    def __init__(self) -> None:
        super().__init__()
        self.ended = 0

    async def kill_api(self) -> None:
        self.ended += 1


@pytest.fixture
def server(cli: Cli, places: None) -> Server:
    cli.connector = made = Server()  # type: ignore[assignment]
    return made


def invert_workflow() -> dict[str, Any]:
    """As the UI saves it: types are those of its links."""
    graph = Graph()
    invert = graph.add("ImageInvert", "image:IMAGE", "IMAGE:IMAGE")
    graph.input("image", invert)
    graph.output("inverted", invert)
    return graph.workflow()


def add_workflow() -> dict[str, Any]:
    graph = Graph()
    add = graph.add("StandInAdd", "a:INT b:INT", "INT:INT", widgets=[0, 1])
    graph.input("n", add)
    graph.output("n", add)
    return graph.workflow()


def test_numbers_go_to_stdout(cli: Cli, server: Server, tmp_path: Path) -> None:
    """A list, run twice over; each iteration reads what the last one wrote."""
    name = write(tmp_path / "add.json", ADD)
    assert cli("run", name, name, "--in", "n=3", "--iterations", "2") == 0

    assert cli.out == "7\n"
    assert "run 1 of 4: add.json, iteration 1 of 2" in cli.err
    assert "run 4 of 4: add.json, iteration 2 of 2" in cli.err
    assert cli.opened[0].loads_nodes
    assert server.ended == 1
    assert not Path("output").exists()


def test_pictures(cli: Cli, server: Server, tmp_path: Path) -> None:
    """The file of a picture goes in, with or without @; a picture comes out in the format of the suffix."""
    Image.new("RGB", (6, 4), (255, 0, 51)).save(tmp_path / "in.png")
    name = write(tmp_path / "invert.json", INVERT)
    assert cli("run", name, "--in", "image=in.png", "--out", "inverted=made/out.png") == 0
    assert cli.out == "made/out.png\n"
    assert Image.open("made/out.png").getpixel((0, 0)) == (0, 255, 204)

    assert cli("run", name, "--in", "image=@in.png", "--out", "inverted=out.npy") == 0
    assert np.allclose(np.load("out.npy")[0, 0, 0], [0, 1, 0.8])
    assert cli("run", name, "--in", "image=@out.npy") == 0
    assert cli.out == "output/inverted.png\n"
    assert cli("run", name, "--in", "image=@out.npy") == 0
    assert cli.out == "output/inverted (2).png\n"


def test_outputs_of_other_nodes(cli: Cli, server: Server, tmp_path: Path) -> None:
    """They are reported beside the values; what the nodes in place of ports publish is not."""
    counting = {**ADD, "4": node("StandInCounts")}
    assert cli("run", write(tmp_path / "add.json", counting), "--in", "n=3") == 0
    assert cli.out == '{"StandInAdd": 1}\n4\n'


def test_masks(cli: Cli, server: Server, tmp_path: Path) -> None:
    """A mask is the brightness of a picture; it comes out as one."""
    mask = {"1": port("mask"), "2": node("Mask", mask=["1", 0]), "3": port("out", ["2", 0])}
    Image.new("L", (6, 4), 51).save(tmp_path / "mask.png")
    assert cli("run", write(tmp_path / "m.json", mask), "--in", "mask=mask.png", "--out", "out=out.png") == 0
    written = Image.open("out.png")
    assert (written.mode, written.size, written.getpixel((0, 0))) == ("L", (6, 4), 51)


def test_latents_and_models(cli: Cli, server: Server, tmp_path: Path) -> None:
    """A latent is saved as ComfyUI's, and read again; a model is a reference, which --out writes as JSON."""
    assert cli("run", write(tmp_path / "latent.json", LATENT), "--in", "width=64") == 0
    assert cli.out == "output/latent.latent\n"
    assert read_latent(Path("output/latent.latent").read_bytes(), "numpy").shape == (2, 4, 8, 8)

    name = write(tmp_path / "load.json", LOADER)
    assert cli("run", name, "--in", "name=a.safetensors") == 0
    assert cli.out == "<Reference 'model' (MODEL): 1 node>\n"
    assert cli("run", name, "--in", "name=a.safetensors", "--out", "model=model.json") == 0
    assert json.loads(Path("model.json").read_text())["type"] == "MODEL"


@pytest.mark.parametrize(
    ("given", "content", "value"),
    [("x=3", "", 3), ("x=[1, 2]", "", [1, 2]), ("x=a fox", "", "a fox"), ("x=NaN", "", "NaN"), ("x=@@me", "", "@me"),
     ("x=a=b", "", "a=b"), ("x=@f.txt", "a fox\n", "a fox"), ("x=@f.txt", "\ufeff7\r\n", 7),
     ("x=@f.json", '{"a": 1}', {"a": 1})],
)  # fmt: skip
def test_texts_and_json(
    cli: Cli, server: Server, tmp_path: Path, given: str, content: str, value: Any
) -> None:  # fmt: skip
    """JSON if it parses as such, else text; @FILE reads it."""
    if "@f" in given:
        (tmp_path / given.partition("@")[2]).write_text(content, newline="")
    assert cli("run", write(tmp_path / "any.json", ANY), "--in", given, "--out", "y=y.json") == 0
    assert json.loads(Path("y.json").read_text()) == value


def test_files_as_they_are(tmp_path: Path) -> None:
    """A video goes in and out unchanged, under its own suffix only; without --out it gets a name of its own."""
    fact = PortFact("VIDEO")
    table = PortTable({"film": fact}, {"made": fact, "number": PortFact("INT")})
    path = tmp_path / "in.mp4"
    path.write_bytes(b"film")
    value = read_inputs({"film": str(path)}, table)["film"]
    assert read_inputs({"film": f"@{path}"}, table) == {"film": FileValue(b"film", ".mp4")}
    out = str(tmp_path / "out.MP4")
    assert write_value("made", value, read_files({"made": out}, table)["made"]) == [Path(out)]
    assert Path(out).read_bytes() == b"film"
    assert save_value("made", value, fact, tmp_path) == [tmp_path / "made.mp4"]
    assert save_value("made", value, fact, tmp_path) == [tmp_path / "made (2).mp4"]
    with pytest.raises(UsageError, match=r"the value is a .mp4 file, and is not converted"):
        write_value("made", value, tmp_path / "out.webm")
    with pytest.raises(UsageError, match=r"the value is not a .webm file"):
        write_value("made", 3, tmp_path / "out.webm")
    for name, file in (("made", "out.docx"), ("made", "out"), ("number", "out.mp4")):
        with pytest.raises(UsageError, match="--out"):
            read_files({name: file}, table)


def test_text_port_takes_text(cli: Cli, server: Server, tmp_path: Path) -> None:
    """What looks like a number stays text, and a file of text keeps its lines."""
    graph = {"1": port("clip"), "2": port("text"), "3": node("CLIPTextEncode", text=["2", 0], clip=["1", 0]),
             "4": port("c", ["3", 0])}  # fmt: skip
    loader = {"2": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"), "3": port("clip", ["2", 1])}
    names = [write(tmp_path / "load.json", loader), write(tmp_path / "text.json", graph)]
    assert cli("run", *names, "--in", "text=42", "--json") == 0
    assert server.sent[1]["3"]["inputs"]["text"] == "42" if "3" in server.sent[1] else True
    document = json.loads(cli.out)
    assert document["values"] == {"text": "42"}
    assert [row["title"] for row in document["outputs"]] == ["clip", "c"]
    assert len(document["history"]) == 2


def test_json_document(cli: Cli, server: Server, tmp_path: Path) -> None:
    """One document, whatever the number of workflows; values stand in it, files have their path."""
    assert cli("run", write(tmp_path / "add.json", ADD), "--in", "n=3", "--json") == 0
    document = json.loads(cli.out)
    assert document["status"] == "success"
    assert document["outputs"] == [
        {"node_id": "3", "title": "n", "class_type": "DiscomfortPort", "kind": "value", "key": "n", "value": 4}
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "values are missing for image (IMAGE): give each with --in NAME=VALUE"),
        (["--in", "imag=in.png"], "--in imag: no INPUT port has this unique_id; there are: image"),
        (["--in", "image"], "--in 'image': expected NAME=VALUE"),
        (["--in", "image=in.png", "--in", "image=in.png"], "--in image: given twice"),
        (["--in", "image=gone.png"], "gone.png: No such file or directory"),
        (["--in", "image=invert.json"], "--in image: invert.json: is not"),
        (["--in", "image=in.png", "--out", "image=out.png"], "--out image: no OUTPUT port has this unique_id"),
        (["--in", "image=in.png", "--out", "inverted=out.txt"], "IMAGE is written to .png"),
        (["--in", "image=in.png", "--out", "inverted=folder.png"], "is a folder"),
        (["--in", "image=in.png", "--iterations", "0"], "--iterations 0: must be at least 1"),
        (["--in", "image=in.png", "--repeat", "2"], "--repeat does not go with ports"),
        (["--in", "image=in.png", "--set", "a.b=1"], "--set does not go with ports"),
        (["--in", "image=in.png", "--name", "x"], "--name does not go with ports"),
    ],
)
def test_wrong_options(cli: Cli, server: Server, tmp_path: Path, options: list[str], told: str) -> None:
    """Told before a server is started, with exit code 2."""
    Image.new("RGB", (6, 4)).save(tmp_path / "in.png")
    (tmp_path / "folder.png").mkdir()
    assert cli("run", write(tmp_path / "invert.json", invert_workflow()), *options) == 2
    assert told in cli.err
    assert cli.opened == []


def test_ranges_are_told_apart(cli: Cli, server: Server, tmp_path: Path) -> None:
    """A range is for --set; two files for one name, and a wrong type, are errors as well."""
    name = write(tmp_path / "add.json", add_workflow())
    assert cli("run", name, "--in", "n=0..3") == 2
    assert "'0..3' is a range; a port takes one value" in cli.err
    assert cli("run", name, "--in", "n=3", "--out", "n=n.png") == 2
    assert "INT is written to .json, .txt" in cli.err
    assert cli.opened == []


def test_broken_file_ends_all(cli: Cli, server: Server, tmp_path: Path) -> None:
    """A list of which one cannot be read does not run at all."""
    names = [write(tmp_path / "add.json", ADD), "gone.json"]
    assert cli("run", *names, "--in", "n=1", "--json") == 2
    assert "gone.json" in cli.err
    assert json.loads(cli.out)["status"] == "error"
    assert cli.opened == []


def test_wrong_value_is_the_users(cli: Cli, server: Server, tmp_path: Path) -> None:
    """What only the server's definitions show ends with exit code 2, too: nothing was sent."""
    assert cli("run", write(tmp_path / "add.json", ADD), "--in", "n=many") == 2
    assert "nothing was sent" in cli.err
    assert server.sent == []
    assert server.ended == 1


def test_failure_names_workflow_and_iteration(cli: Cli, server: Server, tmp_path: Path) -> None:
    """Exit code 1; what earlier workflows gave is not written."""
    minus = {"1": port("n"), "2": node("StandInAdd", a=["1", 0], b=-1), "3": port("n", ["2", 0])}
    names = [write(tmp_path / "minus.json", minus), write(tmp_path / "fail.json", FAIL)]
    assert cli("run", *names, "--in", "n=1", "--iterations", "3", "--out", "n=n.json") == 1
    assert "error: fail.json, iteration 2 of 3: " in cli.err
    assert "-1 is below zero" in cli.err
    assert not Path("n.json").exists()


def test_nothing_arrives(cli: Cli, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that --out names and that is not written is a failure."""
    original = Server.run_workflow

    async def silent(self: Server, *arguments: Any, **options: Any) -> Any:
        history = await original(self, *arguments, **options)
        for record in history.values():
            record["outputs"] = {}
        return history

    monkeypatch.setattr(Server, "run_workflow", silent)
    assert cli("run", write(tmp_path / "add.json", ADD), "--in", "n=1", "--out", "n=n.json") == 1
    assert "nothing arrived at the OUTPUT port 'n', so n.json was not written" in cli.err


def test_interrupt(cli: Cli, server: Server, tmp_path: Path) -> None:
    """The run is taken off the server, which is shut down; exit code 1."""
    import os
    import signal

    async def before(prompt: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    server.before = before
    assert cli("run", write(tmp_path / "add.json", ADD), "--in", "n=1") == 1
    assert (server.cancelled, server.ended) == (1, 1)
    assert "interrupted by SIGINT" in cli.err


def test_workflows_without_ports_stay_as_they_were(cli: Cli, tmp_path: Path) -> None:
    """No option and no port: each is a run of its own, on a server without our nodes."""
    from cli.fakes_cli import prompt

    assert cli("run", write(tmp_path / "a.json", prompt("Text")), "--repeat", "2") == 0
    assert cli.out == "hello\nhello\n"
    assert not cli.opened[0].loads_nodes


def test_latent_files(cli: Cli, server: Server, tmp_path: Path) -> None:
    """A latent goes in as a file, too; old files have other units, and a file of something else is an error."""
    graph = {"1": port("latent"), "2": node("VAEDecode", samples=["1", 0], vae=["3", 2]),
             "3": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"), "4": port("image", ["2", 0])}  # fmt: skip
    name, levels = write(tmp_path / "decode.json", graph), []
    data = latent_file(picture()).data
    for content in (data, data.replace(b"latent_format_version_0", b"latent_format_version_1")):
        (tmp_path / "x.latent").write_bytes(content)
        assert cli("run", name, "--in", "latent=x.latent", "--out", "image=image.npy") == 0
        levels.append(float(np.load("image.npy").mean()))
    assert levels[1] - levels[0] == pytest.approx(0.25 / 0.18215 - 0.25)
    (tmp_path / "x.latent").write_bytes(data.replace(b"latent_tensor", b"latent_tensos"))
    assert cli("run", name, "--in", "latent=x.latent") == 2
    assert "has no 'latent_tensor'" in cli.err
    assert cli("run", write(tmp_path / "any.json", ANY), "--in", "x=3", "--out", "y=y.latent") == 2
    assert "holds a LATENT" in cli.err


def test_pairs() -> None:
    """The name ends at the first =."""
    assert read_pairs("--in", ["a=b=c", " d =e"]) == {"a": "b=c", "d": "e"}
    for text in ("=x", "x", "x="):
        with pytest.raises(UsageError, match="expected NAME=VALUE"):
            read_pairs("--in", [text])
