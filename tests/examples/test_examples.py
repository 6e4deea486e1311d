"""Each example does what it says, in no more lines than promised."""

from __future__ import annotations

import base64
import json
import shutil
import signal
from pathlib import Path

import pytest
from examples.desk import EXAMPLES, Desk, workflow
from PIL import Image
from waiting import until_blocking

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

LINES = {
    "web_service.py": 40,
    "runpod_handler.py": 25,
    "resumable_batch.py": 20,
    "image_to_image.py": 20,
    "call_workflow.py": 12,
    "sweep_grid.py": 15,
    "two_servers.py": 15,
    "pool_of_servers.py": 15,
    "parameter_sweep.py": 25,
    "batch_with_state.py": 25,
    "refine_until_good.py": 15,
}
HERE = Path(__file__).parent


@pytest.mark.parametrize(("name", "most"), LINES.items())
def test_examples_are_short(name: str, most: int) -> None:
    """Lines that are neither blank nor comments."""
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip() and not line.strip().startswith("#")]) <= most


def test_every_example_is_run() -> None:
    """Here, or in the files for the web service and for ports."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == LINES.keys()


def test_image_to_image(desk: Desk) -> None:
    """Photo and text make the picture; the photo is gone from the server, and the picture is where it was printed."""
    shutil.copy(desk.folder / "from_photo.json", desk.folder / "workflow.json")

    for text in ("a lighthouse at dusk", "a fox"):
        printed = desk.run(str(EXAMPLES / "image_to_image.py"), "photo.png", text)
        assert (desk.folder / printed.split()[-1]).exists()

    first, second = desk.pictures()
    assert first.read_bytes() != second.read_bytes()
    assert not list((desk.engine.home / "input").rglob("*photo.png"))


def test_call_workflow(desk: Desk) -> None:
    """The picture is as many times larger as was said, and its name is that of the output."""
    shutil.copy(EXAMPLES / "upscale.json", desk.folder)
    with Image.open(desk.folder / "photo.png") as photo:
        width, height = photo.size

    printed = desk.run(str(EXAMPLES / "call_workflow.py"), "photo.png", "3")

    assert "scale           float 0.01…8" in printed
    assert printed.split()[-1] == str(Path("results", "image.png"))
    (path,) = desk.pictures()
    with Image.open(path) as picture:
        assert picture.size == (width * 3, height * 3)


def test_sweep_grid(desk: Desk) -> None:
    """Six pictures named by their values, a table and a sheet; started again, nothing is made."""
    shutil.copy(EXAMPLES / "upscale.json", desk.folder)
    with Image.open(desk.folder / "photo.png") as photo:
        width, height = photo.size

    printed = desk.run(str(EXAMPLES / "sweep_grid.py"))

    assert "6 of 6: " in printed
    assert "6 done, 0 failed" in printed
    made = {path.name: path.stat().st_mtime_ns for path in desk.pictures()}
    assert set(made) == {f"scale={s}_upscale_method={m}.png" for s in (1, 2, 3) for m in ("area", "lanczos")}
    with Image.open(desk.folder / "results" / "scale=3_upscale_method=area.png") as largest:
        assert largest.size == (width * 3, height * 3)
    assert (desk.folder / "results" / "contact_sheet.jpg").is_file()

    desk.run(str(EXAMPLES / "sweep_grid.py"))

    assert {path.name: path.stat().st_mtime_ns for path in desk.pictures()} == made


def test_resumable_batch(desk: Desk) -> None:
    """Interrupted in the middle, it leaves whole pictures only; started again, it makes the others."""
    (desk.folder / "prompts.txt").write_text("\n".join(f"fox number {number}" for number in range(20)))
    batch = desk.start(str(EXAMPLES / "resumable_batch.py"))
    until_blocking(lambda: len(list(desk.folder.glob("results/*.png"))) > 3 or batch.poll() is not None, seconds=200)
    batch.send_signal(signal.SIGINT)
    printed, _ = batch.communicate(timeout=60)
    made = {path: path.stat().st_mtime_ns for path in desk.pictures()}
    assert 3 < len(made) < 60, printed

    printed = desk.run(str(EXAMPLES / "resumable_batch.py"))

    assert f"{60 - len(made)} of 60 pictures" in printed
    pictures = desk.pictures()
    assert len(pictures) == 60
    assert len({path.read_bytes() for path in pictures}) == 60
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_two_servers(desk: Desk) -> None:
    """Both take part: the first run of each waits for the other's."""
    meeting = desk.folder / "meeting"
    meeting.mkdir()
    (desk.folder / "workflow.json").write_text(json.dumps(workflow(meeting=meeting)))

    lines = desk.run(str(EXAMPLES / "two_servers.py")).splitlines()

    saved = [line.split() for line in lines if line.startswith("http://127.0.0.1:")]
    assert len(saved) == 8, lines
    assert len({server for server, _ in saved}) == 2
    assert len({path for _, path in saved}) == len({path.read_bytes() for path in desk.pictures()}) == 8


def test_pool_of_servers(desk: Desk) -> None:
    """Both servers take part: the first run of each waits for the other's. Nothing stays on them."""
    meeting = desk.folder / "meeting"
    meeting.mkdir()
    (desk.folder / "workflow.json").write_text(json.dumps(workflow(meeting=meeting)))

    outputs = desk.engine.home / "output"
    before = set(outputs.rglob("*"))

    lines = desk.run(str(EXAMPLES / "pool_of_servers.py"), "2").splitlines()

    saved = [line.split() for line in lines if " results" in line]
    assert len(saved) == 8, lines
    assert {server for server, _ in saved} == {"server0", "server1"}
    assert {Path(path).name[:7] for _, path in saved} == {f"seed-{seed}_" for seed in range(8)}
    assert len({path.read_bytes() for path in desk.pictures()}) == 8
    assert set(outputs.rglob("*")) == before


def test_runpod_handler(desk: Desk) -> None:
    """Pictures in and out as base64, progress, a wrong value, and a server that dies in the middle of a job."""
    shutil.copy(desk.folder / "from_photo.json", desk.folder / "workflow.json")
    photo = base64.b64encode((desk.folder / "photo.png").read_bytes()).decode()
    jobs = [
        {"id": "good", "input": {"values": {"Positive.text": "a fox"}, "images": {"LoadImage.image": photo}}},
        {"id": "wrong", "input": {"values": {"KSampler.steps": 0}}},
        {"id": "killed", "input": {"values": {"KSampler.steps": 99999}, "images": {"LoadImage.image": photo}}},
    ]
    (desk.folder / "jobs.json").write_text(json.dumps(jobs))

    desk.run(str(EXAMPLES / "runpod_handler.py"), path=HERE / "stubs")

    results = json.loads((desk.folder / "results.json").read_text())
    good, wrong, killed = (results[job["id"]] for job in jobs)
    (picture,) = good["output"]["images"]
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    assert {event["kind"] for event in good["progress"]} == {"node_started", "step"}
    assert "'KSampler.steps'" in wrong["error"]
    assert "stopPod" not in wrong
    assert "SIGKILL" in killed["error"]
    assert killed["stopPod"] is True


def test_notebook(desk: Desk) -> None:
    """Every cell can be run twice, and the whole notebook again; what it shows are pictures."""
    printed = desk.run(str(HERE / "notebook_program.py"), str(EXAMPLES / "notebook.ipynb"))

    assert printed.count("ran ") == 2 * 2 * len(_cells("code"))
    assert "<img " in printed
    assert len(desk.pictures()) >= 4


def _cells(kind: str) -> list[str]:
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def test_notebook_is_stored_without_outputs() -> None:
    """Nothing of the machine on which it was written."""
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if "outputs" in cell)
    assert _cells("markdown")
