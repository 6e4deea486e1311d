"""Coroutine hooks of node classes, and the ``pyproject.toml`` of packs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

N = Any

NODES = """
import asyncio

calls = []

class Checked:
    RETURN_TYPES = ("INT",)
    FUNCTION = "go"
    CATEGORY = "mine"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"value": ("INT", {"default": 1})},
            "hidden": {"me": "UNIQUE_ID", "prompt": "PROMPT", "extra": "EXTRA_PNGINFO"},
        }

    @classmethod
    async def VALIDATE_INPUTS(cls, value, **hidden):
        await asyncio.sleep(0)
        if value == 13:
            raise RuntimeError("unlucky")
        return {2: False, 3: f"not three {sorted(hidden.items())}"}.get(value, True)

    @classmethod
    async def IS_CHANGED(cls, value, **hidden):
        await asyncio.sleep(0)
        return float("nan") if value == 7 else value

    def go(self, value, me, prompt, extra):
        calls.append(value)
        return (len(calls),)

NODE_CLASS_MAPPINGS = {"Checked": Checked}
"""

NEWER = """
import asyncio
from comfy_api.latest import ComfyExtension, io

class Newer(io.ComfyNode):
    calls = [0]

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Newer",
            inputs=[io.Int.Input("value"), io.Int.Input("a", lazy=True), io.Int.Input("b", lazy=True)],
            outputs=[io.Int.Output()],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    async def validate_inputs(cls, value):
        await asyncio.sleep(0)
        return f"{cls.hidden.unique_id} {cls.hidden.prompt}" if value == 3 else True

    @classmethod
    async def fingerprint_inputs(cls, value, a, b):
        await asyncio.sleep(0)
        assert cls.hidden.unique_id is None
        return float("nan") if value == 7 else 0

    @classmethod
    async def check_lazy_status(cls, value, a=None, b=None):
        await asyncio.sleep(0)
        return ["a" if value % 2 else "b"]

    @classmethod
    def execute(cls, value, a=None, b=None):
        cls.calls[0] += 1
        return io.NodeOutput(cls.calls[0] * 1000 + (a or 0) * 10 + (b or 0))

class Extension(ComfyExtension):
    async def get_node_list(self):
        return [Newer]

async def comfy_entrypoint():
    return Extension()
"""


@pytest.fixture(name="packs")
def _packs(tmp_path: Path) -> Path:
    folder = tmp_path / "packs"
    folder.mkdir()
    (folder / "older.py").write_text(NODES)
    (folder / "newer.py").write_text(NEWER)
    return folder


def checked(make: N, value: int) -> N:
    """A prompt of the older node."""
    return {"1": make("Checked", value=value), "2": make("PreviewAny", source=["1", 0])}


def newer(make: N, value: int) -> N:
    """A prompt of the newer node, with two numbers to choose from."""
    return {
        "1": make("Newer", value=value, a=["3", 0], b=["4", 0]),
        "2": make("PreviewAny", source=["1", 0]),
        "3": make("PrimitiveInt", value=5),
        "4": make("PrimitiveInt", value=6),
    }


@pytest.mark.parametrize(
    ("value", "details"),
    [
        (2, ["value", "me", "prompt", "extra"]),
        (
            3,
            [
                f"{name} - not three [('extra', None), ('me', '1'), ('prompt', {{}})]"
                for name in ("value", "me", "prompt", "extra")
            ],
        ),
    ],
)
async def test_a_validator_may_be_a_coroutine(launch: N, make: N, packs: Path, value: int, details: list[str]) -> None:
    """It is awaited, gets the hidden inputs that it takes, and returns the error."""
    async with launch(custom_nodes=(packs,)) as client:
        status, answer = await client.submit(checked(make, value))

    assert status == 400
    errors = answer["node_errors"]["1"]["errors"]
    assert {error["type"] for error in errors} == {"custom_validation_failed"}
    assert [error["details"] for error in errors] == details


async def test_a_validator_that_raises_is_an_error_of_its_node(launch: N, make: N, packs: Path) -> None:
    """An exception of a coroutine is reported like that of a function."""
    async with launch(custom_nodes=(packs,)) as client:
        status, answer = await client.submit(checked(make, 13))

    assert status == 400
    (error,) = answer["node_errors"]["1"]["errors"]
    assert (error["type"], error["details"]) == ("exception_during_inner_validation", "unlucky")


async def test_a_change_token_may_be_a_coroutine(launch: N, make: N, packs: Path) -> None:
    """The node runs again if the token differs, or is not equal to itself."""
    shown = []
    async with launch(custom_nodes=(packs,)) as client:
        for value in (1, 1, 4, 7, 7):
            _, record = await client.run(checked(make, value))
            shown += record["outputs"]["2"]["text"]

    assert shown == ["1", "1", "2", "3", "4"]


async def test_hooks_of_the_newer_schema_may_be_coroutines(launch: N, make: N, packs: Path) -> None:
    """Validator, fingerprint and lazy check may be; only the first gets the node's id and an empty prompt."""
    shown = []
    async with launch(custom_nodes=(packs,)) as client:
        for value in (1, 1, 2, 7, 7):
            _, record = await client.run(newer(make, value))
            shown += record["outputs"]["2"]["text"]
        status, answer = await client.submit(newer(make, 3))

    # An input that was not requested is not passed, even if it is cached (0.3.64 passes it).
    assert shown == ["1050", "1050", "2006", "3050", "4050"]
    assert status == 400
    assert [error["details"] for error in answer["node_errors"]["1"]["errors"]] == ["value - 1 {}"]


PROJECT = '[project]\nname = "the-project"\n[tool.comfy]\nPublisherId = "me"\nweb = "scripts"\n'


async def scripts_of(launch: N, folder: Path, project: str | None, code: str = "") -> list[str]:
    """The scripts served for a pack with this ``pyproject.toml``."""
    pack = folder / "packs" / "pack"
    for name in ("scripts", "js"):
        (pack / name).mkdir(parents=True)
        (pack / name / f"of_{name}.js").write_text("export {}")
    (pack / "__init__.py").write_text(f"NODE_CLASS_MAPPINGS = {{}}\n{code}")
    if project is not None:
        (pack / "pyproject.toml").write_text(project)
    async with launch(custom_nodes=(folder / "packs",)) as client:
        listed = [path for path in await client.get("/extensions") if "/of_" in path]
        for path in listed:
            async with client.http.get(path) as answer:
                assert (answer.status, await answer.text()) == (200, "export {}")
    return listed


@pytest.mark.parametrize(
    ("project", "code", "expected"),
    [
        (PROJECT, "", ["/extensions/the-project/of_scripts.js"]),
        (
            PROJECT,
            "WEB_DIRECTORY = 'js'",
            ["/extensions/the-project/of_scripts.js", "/extensions/pack/of_js.js"],
        ),
        (PROJECT.replace("scripts", "missing"), "", []),
        (PROJECT.replace("the-project", "pack"), "WEB_DIRECTORY = 'js'", ["/extensions/pack/of_js.js"]),
        ("[project]\nname = 'x'\n", "", []),
        (None, "WEB_DIRECTORY = './js'", ["/extensions/pack/of_js.js"]),
    ],
)
async def test_scripts_that_a_project_names(
    launch: N, tmp_path: Path, project: str | None, code: str, expected: list[str]
) -> None:
    """``tool.comfy.web`` is served under the project's name, beside ``WEB_DIRECTORY`` under the folder's."""
    assert await scripts_of(launch, tmp_path, project, code) == expected


@pytest.mark.parametrize(
    "project", ["[", "[tool.comfy]\nweb = 'scripts'", PROJECT.replace('"scripts"', "5"), "tool = 5"]
)
async def test_a_bad_project_harms_nothing(
    launch: N, tmp_path: Path, project: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An unreadable file is logged, and the pack still loads."""
    with caplog.at_level(logging.WARNING):
        listed = await scripts_of(launch, tmp_path, project, "WEB_DIRECTORY = 'js'")

    assert listed == ["/extensions/pack/of_js.js"]
    assert "custom nodes pack: its pyproject.toml cannot be read" in caplog.text
