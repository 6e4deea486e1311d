"""The examples that give values to ports. Their workflows are prompts here, so none of them needs a browser."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Prompt, node
from examples.desk import EXAMPLES, Desk
from PIL import Image

pytestmark = pytest.mark.timeout(400)


def port(unique_id: str, source: list[Any] | None = None) -> dict[str, Any]:
    """A port: an INPUT, or an OUTPUT that ``source`` feeds."""
    return node("DiscomfortPort", unique_id=unique_id, **({} if source is None else {"input_data": source}))


LOAD: Prompt = {
    "1": node("StandInCheckpointLoaderSimple", ckpt_name="a.safetensors"),
    "2": port("model", ["1", 0]), "3": port("clip", ["1", 1]), "4": port("vae", ["1", 2]),
}  # fmt: skip
MIX: Prompt = {
    "1": port("photo"), "2": port("before"),
    "3": node("ImageBlend", image1=["1", 0], image2=["2", 0], blend_factor=0.5, blend_mode="normal"),
    "4": port("image", ["3", 0]), "5": node("PaintingScore", image=["3", 0]), "6": port("score", ["5", 0]),
}  # fmt: skip
IMPROVE: Prompt = {"1": port("picture"), "2": node("PaintingLight", image=["1", 0]), "3": port("picture", ["2", 0])}
JUDGE: Prompt = {"1": port("picture"), "2": node("PaintingScore", image=["1", 0]), "3": port("quality", ["2", 0])}


def sample(least: int = 0) -> Prompt:
    """A sampler that fails for seeds below ``least``."""
    return {
        "1": port("model"), "2": port("clip"), "3": port("vae"), "4": port("prompt"), "5": port("seed"),
        "6": port("cfg"),
        "7": node("StandInCLIPTextEncode", text=["4", 0], clip=["2", 0]),
        "8": node("StandInEmptyLatentImage", width=16, height=16, batch_size=1),
        "9": node("StandInAdd", a=["5", 0], b=-least), "10": node("StandInFail", value=["9", 0]),
        "11": node("StandInKSampler", model=["1", 0], positive=["7", 0], latent_image=["8", 0], seed=["10", 0],
                   steps=1, cfg=["6", 0], denoise=1.0),
        "12": node("StandInVAEDecode", samples=["11", 0], vae=["3", 0]), "13": port("image", ["12", 0]),
    }  # fmt: skip


@pytest.fixture
def desk(engine: EngineUnderTest, tmp_path: Path) -> Iterator[Desk]:
    """An empty folder, and a server whose browser starts when it is needed."""
    made = Desk(tmp_path, replace(engine, settings={**engine.settings, "browser": "lazy"}))
    yield made
    made.end()


def put(desk: Desk, **prompts: Prompt) -> None:
    """Save prompts under these names."""
    for name, prompt in prompts.items():
        (desk.folder / f"{name}.json").write_text(json.dumps(prompt))


def test_parameter_sweep(desk: Desk) -> None:
    """Failures are reported and passed over; started again, it makes what is missing and nothing else."""
    put(desk, load_model=LOAD, sample=sample(least=1))
    assert len(desk.run(str(EXAMPLES / "parameter_sweep.py")).split()) == 9
    made = {path: path.stat().st_mtime_ns for path in desk.pictures("sweep/*.png")}

    put(desk, sample=sample())
    printed = desk.run(str(EXAMPLES / "parameter_sweep.py")).split()

    assert printed == [f"sweep/0-{cfg}.png" for cfg in (1.0, 4.0, 8.0)]
    assert len(desk.pictures("sweep/*.png")) == 12
    assert {path: path.stat().st_mtime_ns for path in made} == made
    rows = list(csv.reader((desk.folder / "sweep/report.csv").read_text().splitlines()))
    assert len(rows) == 15
    assert ["failed" in row[2] for row in rows] == [True] * 3 + [False] * 12
    assert "-1 is below zero" in rows[0][2]


def test_batch_with_state(desk: Desk) -> None:
    """Each picture is mixed with the result of the one before, and the scores are exported."""
    (desk.folder / "photos").mkdir()
    for name, level in (("a", 0), ("b", 255), ("c", 255)):
        Image.new("RGB", (8, 8), (level, level, level)).save(desk.folder / "photos" / f"{name}.png")
    put(desk, mix=MIX)
    desk.run(str(EXAMPLES / "batch_with_state.py"))

    scores = json.loads((desk.folder / "results/scores.json").read_text())
    assert list(scores) == ["a.png", "b.png", "c.png"]
    assert np.allclose(list(scores.values()), [0, 0.5, 0.75], atol=0.01)
    assert len(desk.pictures()) == 3


def test_refine_until_good(desk: Desk) -> None:
    """It ends as soon as the judge is content, with the picture that was judged last."""
    Image.new("RGB", (8, 8), "black").save(desk.folder / "photo.png")
    put(desk, improve=IMPROVE, judge=JUDGE)
    printed = desk.run(str(EXAMPLES / "refine_until_good.py"), "photo.png").splitlines()

    assert [line.split()[-1] for line in printed[:-1]] == ["0.25", "0.44", "0.58", "0.68", "0.76"]
    (picture,) = desk.pictures("results/refined.png")
    assert Image.open(picture).getpixel((0, 0)) == (194, 194, 194)
