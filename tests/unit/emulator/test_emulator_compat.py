"""The stand-ins for ComfyUI's modules that packs import."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfyui_emulator import runtime
from comfyui_emulator.compat import api, folder_paths, graph_utils, imports, model_management, node_helpers, ui, utils
from comfyui_emulator.compat import io_api as io
from comfyui_emulator.compat.schema import adapted
from comfyui_emulator.packs import load_packs
from comfyui_emulator.registry import Registry

N = Any
PACKS = Path(__file__).parents[2] / "packs"


@pytest.fixture
def here(tmp_path: Path) -> Any:
    """A node's context below the test's folder."""
    folders = runtime.Folders(*(tmp_path / name for name in ("input", "output", "temp", "user")), tmp_path)
    for name in ("input", "output", "temp", "user"):
        (tmp_path / name).mkdir()
    with runtime.using(runtime.NodeContext(folders)) as context:
        yield context


def load(folder: Path, **files: str) -> Registry:
    """The nodes of a folder with these packs."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    registry = Registry()
    load_packs([folder], registry)
    return registry


async def test_a_pack_in_the_newer_schema(launch: N, make: N) -> None:
    """It loads with its routes and scripts, and the names it imports do not stay in ``sys.modules``."""
    async with launch(custom_nodes=(PACKS,)) as client:
        graph_ = {"1": make("SchemaText", value=5, prompt="x"), "2": make("SchemaShow", value=["1", 0])}
        _, record = await client.run(graph_)
        told = await client.get("/schema_pack/folder/output")

    assert record["outputs"]["2"]["text"][0].startswith("5 x ('1', ['1', '2'], None) True")
    assert told == {"there": True}
    assert not {"nodes", "server", "comfy", "comfy_api"} & set(sys.modules)


def test_a_pack_sees_comfyuis_names_wherever_it_imports(tmp_path: Path) -> None:
    """At its top level, inside functions, in its own modules, and as attributes of packages."""
    pack = tmp_path / "packs" / "deep"
    pack.mkdir(parents=True)
    (pack / "inner.py").write_text(
        "import comfy.utils\nfrom comfy.comfy_types import IO\nBAR = comfy.utils.ProgressBar\n"
    )
    (pack / "__init__.py").write_text(
        "from .inner import BAR, IO\n"
        "class Late:\n"
        "    RETURN_TYPES = (IO.IMAGE,)\n"
        "    FUNCTION = 'go'\n"
        "    @classmethod\n"
        "    def INPUT_TYPES(cls):\n"
        "        import nodes\n"
        "        from comfy.cli_args import args\n"
        "        return {'required': {'x': (IO.INT, {'max': nodes.MAX_RESOLUTION, 'preview': args.preview_size})}}\n"
        "NODE_CLASS_MAPPINGS = {'Late': Late}\n"
    )

    info = load(tmp_path / "packs")["Late"].info()

    assert info["input"]["required"]["x"] == ("INT", {"max": 16384, "preview": 512})
    assert info["output"] == ["IMAGE"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import a_library_that_is_missing", "it imports a_library_that_is_missing, which is not installed here"),
        ("import comfy.samplers", "comfy.samplers is not in the discomfort emulator"),
        ("from comfy.model_management import get_torch_device", "get_torch_device is not in the discomfort emulator"),
        ("x = 1", "neither NODE_CLASS_MAPPINGS nor comfy_entrypoint"),
        ("def comfy_entrypoint(): return 5", "did not return a ComfyExtension"),
        (
            (
                "from comfy_api.latest import ComfyExtension\n"
                "class E(ComfyExtension):\n"
                "    async def get_node_list(self): return 5\n"
                "def comfy_entrypoint(): return E()"
            ),
            "did not return a list",
        ),
        (
            (
                "from comfy_api.latest import io\n"
                "class Half(io.ComfyNode):\n"
                "    @classmethod\n"
                "    def define_schema(cls): return io.Schema('Half')\n"
                "NODE_CLASS_MAPPINGS = {'Half': Half}"
            ),
            "No execute function was defined for node class Half",
        ),
    ],
)
def test_why_a_pack_is_not_there(tmp_path: Path, content: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """One log line says what failed and what is missing."""
    with caplog.at_level(logging.WARNING):
        registry = load(tmp_path / "packs", broken=content)

    assert len(registry) == 0
    assert "broken.py (IMPORT FAILED)" in caplog.text
    assert reason in caplog.text


def test_packages_and_unknown_parts() -> None:
    """A package has its modules as attributes, and the error names a missing part."""
    assert imports.stand_in("comfy").utils.ProgressBar is utils.ProgressBar
    with pytest.raises(AttributeError, match=r"comfy\.utils\.tiled_scale"):
        imports.stand_in("comfy.utils").tiled_scale  # noqa: B018 - the attribute is what is tested
    with pytest.raises(AttributeError, match=r"nodes\.CheckpointLoader"):
        imports.stand_in("nodes").CheckpointLoader  # noqa: B018


def simple(result: Any, **flags: Any) -> type[io.ComfyNode]:
    """A node that returns this."""

    class Simple(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema("Simple", inputs=[io.Int.Input("a")], outputs=[io.Int.Output("b")], **flags)

        @classmethod
        def execute(cls, a: int = 0) -> Any:
            return result

    return Simple


def called(cls: type[io.ComfyNode]) -> Any:
    """The node's result for the executor."""
    return adapted(cls)[1]().run(a=1)


def test_what_nodes_may_return() -> None:
    """Values in several forms; types that ComfyUI rejects are refused with a reason."""
    assert called(simple(None)) == {}
    assert called(simple((3,))) == {"result": (3,)}
    assert called(simple(io.NodeOutput(4, ui={"x": [1]}))) == {"result": (4,), "ui": {"x": [1]}}
    assert called(simple(io.NodeOutput(4, block_execution="no")))["result"][0].message == "no"
    grown = called(simple(io.NodeOutput(4, expand={}), enable_expand=True))
    assert grown == {"result": (4,), "expand": {}}
    assert called(simple({"result": (1,), "ui": {"x": [1]}})) == {"result": (1,), "ui": {"x": [1]}}
    with pytest.raises(TypeError, match="Invalid return type"):
        called(simple(5))
    with pytest.raises(ValueError, match="enable_expand"):
        called(simple(io.NodeOutput(4, expand={})))


def test_definitions_are_checked() -> None:
    """Ids must be unique, and options known."""

    class Double(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            outputs = [io.Int.Output("a"), io.Int.Output("a")]
            return io.Schema("D", inputs=[io.Int.Input("a"), io.Int.Input("a")], outputs=outputs)

        @classmethod
        def execute(cls, **_: Any) -> None:
            return None

    with pytest.raises(ValueError, match=r"Input ids must be unique.*\nOutput ids must be unique"):
        Double.GET_SCHEMA()
    with pytest.raises(TypeError, match=r"Int.*unexpected \['steps'\]"):
        io.Int.Input("a", steps=1)
    with pytest.raises(TypeError, match="too many"):
        io.Boolean.Input("a", None, False, None, None, True, "on", "off", None, None, {}, True, True, 1)
    with pytest.raises(TypeError, match=r"unexpected \['steps'\]; it takes advanced, default"):
        io.Color.Input("a", steps=1)


def test_inputs_that_stand_for_several() -> None:
    """Their definitions are ComfyUI's; a dynamic input cannot be the template of another."""
    grown = io.Autogrow.Input("images", io.Autogrow.TemplatePrefix(io.Image.Input("i"), "image", min=1, max=3))
    named = io.Autogrow.Input("values", io.Autogrow.TemplateNames(io.Int.Input("v"), ["a", "b"], min=0))
    combo = io.DynamicCombo.Input("mode", [io.DynamicCombo.Option("one", [io.Int.Input("n", optional=True)])])

    found = io.Schema("G", inputs=[grown, named, combo]).declared()

    assert found == {
        "required": {
            "images": (
                "COMFY_AUTOGROW_V3",
                {"template": {"input": {"required": {"i": ("IMAGE", {})}}, "prefix": "image", "min": 1, "max": 3}},
            ),
            "values": (
                "COMFY_AUTOGROW_V3",
                {
                    "template": {
                        "input": {"required": {"v": ("INT", {"forceInput": True})}},
                        "names": ["a", "b"],
                        "min": 0,
                    }
                },
            ),
            "mode": (
                "COMFY_DYNAMICCOMBO_V3",
                {"options": [{"key": "one", "inputs": {"required": {}, "optional": {"n": ("INT", {})}}}]},
            ),
        },
    }
    with pytest.raises(TypeError, match="mode is dynamic itself"):
        io.Autogrow.TemplatePrefix(combo, "x")


def test_widgets_of_structured_values() -> None:
    """Colours, boxes, curves and ranges have ComfyUI's defaults."""
    kinds = [io.Color, io.Colors, io.BoundingBox, io.BoundingBoxes, io.Curve, io.ImageCompare, io.Compositor, io.Range]
    found = io.Schema("W", inputs=[kind.Input(str(index)) for index, kind in enumerate(kinds)]).declared()["required"]

    assert {kind: options.get("default") for kind, options in found.values()} == {
        "COLOR": "#ffffff",
        "COLORS": [],
        "BOUNDING_BOX": {"x": 0, "y": 0, "width": 512, "height": 512},
        "BOUNDING_BOXES": [],
        "CURVE": {"points": [[0.0, 0.0], [1.0, 1.0]], "interpolation": "monotone_cubic"},
        "IMAGECOMPARE": None,
        "COMPOSITOR": {},
        "RANGE": {"min": 0.0, "max": 1.0},
    }
    assert all(options["socketless"] for _, options in found.values())


async def test_packs_load_and_register_replacements(launch: N, make: N, tmp_path: Path) -> None:
    """``on_load`` is awaited before the nodes are listed; a replacement that it registers rewrites prompts."""
    folder = tmp_path / "packs"
    folder.mkdir()
    (folder / "replacing.py").write_text(
        "from comfy_api.latest import ComfyAPI, ComfyExtension, io\n"
        "class E(ComfyExtension):\n"
        "    async def on_load(self):\n"
        "        await ComfyAPI().node_replacement.register(io.NodeReplace('PreviewAny', 'Gone',\n"
        "            input_mapping=[{'new_id': 'source', 'old_id': 'old'}]))\n"
        "    async def get_node_list(self): return []\n"
        "def comfy_entrypoint(): return E()\n"
    )
    async with launch(custom_nodes=(folder,)) as client:
        _, record = await client.run({"1": make("Gone", old="x")})

    assert record["outputs"]["1"] == {"text": ["x"]}
    assert record["prompt"][2]["1"]["class_type"] == "PreviewAny"


def test_prices_name_the_types_of_their_widgets() -> None:
    """A price lists the widgets that it depends on, nested ones too, and refuses unknown ones."""
    inputs = [io.Int.Input("n"), io.DynamicCombo.Input("m", [io.DynamicCombo.Option("a", [io.Float.Input("f")])])]
    badge = io.PriceBadge("1", io.PriceBadgeDepends(["n", "m.f"]))

    assert badge.as_dict(inputs)["depends_on"]["widgets"] == [
        {"name": "n", "type": "INT"},
        {"name": "m.f", "type": "FLOAT"},
    ]
    with pytest.raises(ValueError, match="nothing"):
        io.PriceBadge("1", io.PriceBadgeDepends(["nothing"])).as_dict(inputs)


def test_progress_is_told_now_and_then(here: runtime.NodeContext) -> None:
    """The first, the last and steps with pictures are told at once, others after a while."""
    seen: list[float] = []
    here.report = lambda _node, value, _maximum, _preview: seen.append(value)
    now = [0.0]
    bar = utils.ProgressBar(1000)
    bar.clock = lambda: now[0]

    bar.update_absolute(1)
    bar.update_absolute(500)
    now[0] = 0.2
    bar.update_absolute(3)
    bar.update_absolute(501)
    bar.update_absolute(502, preview=Image.new("RGB", (4, 4)))
    bar.update_absolute(1000)

    assert seen == [1, 501, 502, 1000]


def test_folders_and_files(here: runtime.NodeContext) -> None:
    """Paths are those of the running server, names cannot leave them, models are listed."""
    base = here.folders.output.parent
    (here.folders.input / "a.png").touch()
    more = base / "more"
    for path in (base / "models" / "loras" / "x" / "l.safetensors", more / "m.safetensors", more / "n.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder_paths.add_model_folder_path("loras", str(more))
    try:
        assert folder_paths.get_filename_list("loras") == ["m.safetensors", "x/l.safetensors"]
        assert folder_paths.get_full_path("loras", "m.safetensors") == str(more / "m.safetensors")
    finally:
        folder_paths.folder_names_and_paths.clear()

    assert folder_paths.get_annotated_filepath("a.png") == str(here.folders.input / "a.png")
    assert folder_paths.annotated_filepath("a.png [temp]") == ("a.png", str(here.folders.temp))
    assert folder_paths.exists_annotated_filepath("a.png")
    assert folder_paths.filter_files_content_types(["a.png", "b.txt"], ["image"]) == ["a.png"]
    assert folder_paths.get_save_image_path("s/x", folder_paths.get_output_directory())[1:4] == ("x", 1, "s")
    assert folder_paths.__getattr__("models_dir") == str(base / "models")
    assert folder_paths.get_input_subfolders() == []
    with pytest.raises(ValueError, match="Invalid file path"):
        folder_paths.get_annotated_filepath("../../x")
    with pytest.raises(FileNotFoundError, match="nothing"):
        folder_paths.get_full_path_or_raise("loras", "nothing")


def test_progress_and_interruption(here: runtime.NodeContext) -> None:
    """Steps are reported, and each checks for an interrupt."""
    seen: list[tuple[float, float]] = []
    here.report = lambda _node, value, maximum, _preview: seen.append((value, maximum))
    bar = utils.ProgressBar(3)

    bar.update(1)
    bar.update_absolute(9)
    api.ComfyAPISync().execution.set_progress(1, 2, preview_image=np.zeros((1, 4, 4, 3), np.float32))
    model_management.interrupt_current_processing()

    assert seen == [(1, 3), (3, 3), (1, 2)]
    assert model_management.processing_interrupted()
    with pytest.raises(model_management.InterruptProcessingException):
        model_management.throw_exception_if_processing_interrupted()


def test_helpers() -> None:
    """Arrays are scaled, repeated and given alpha; conditionings get options; links are known."""
    picture = np.zeros((1, 3, 4, 4), np.float32)

    assert utils.common_upscale(picture, 8, 2, "bilinear", "disabled").shape == (1, 3, 2, 8)
    assert utils.repeat_to_batch_size(picture, 3).shape[0] == 3
    assert node_helpers.conditioning_set_values([[0, {}]], {"a": 1}) == [[0, {"a": 1}]]
    wide, _ = node_helpers.image_alpha_fix(np.zeros((1, 2, 2, 4)), np.zeros((1, 2, 2, 3)))
    _, narrow = node_helpers.image_alpha_fix(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 4)))
    assert (wide[0, 0, 0, -1], narrow.shape[-1]) == (1, 3)
    assert graph_utils.is_link(["1", 0])


def test_truncated_pictures_are_read(tmp_path: Path) -> None:
    """A truncated picture gives its readable part."""
    path = tmp_path / "x.png"
    Image.effect_noise((32, 32), 90).save(path)
    path.write_bytes(path.read_bytes()[:-200])

    def read(file: Path) -> tuple[int, int]:
        with Image.open(file) as picture:
            return picture.convert("RGB").size

    assert node_helpers.pillow(read, path) == (32, 32)


def test_what_nodes_show(here: runtime.NodeContext) -> None:
    """Each kind saves its files and refers to them."""
    frames = np.zeros((2, 4, 4, 3), np.float32)
    sound = {"waveform": np.zeros((1, 1, 800), np.float32), "sample_rate": 8000}

    shown = [
        ui.ImageSaveHelper.get_save_images_ui(frames, "a/x", None),
        ui.ImageSaveHelper.get_save_animated_png_ui(frames, "y", None, 6.0, 4),
        ui.ImageSaveHelper.get_save_animated_webp_ui(frames, "z", None, 6.0, True, 80, 4),
        ui.PreviewMask(np.zeros((1, 4, 4), np.float32)),
        ui.AudioSaveHelper.get_save_audio_ui(sound, "s", None),
        ui.PreviewAudio(sound),
        ui.PreviewVideo([{"filename": "v.mp4"}]),
        ui.PreviewUI3D("m.glb", None),
    ]
    told = [item.as_dict() for item in shown]

    assert [item["filename"] for item in told[0]["images"]] == ["x_00001_.png", "x_00002_.png"]
    assert (told[1]["animated"], told[2]["animated"], told[3]["animated"]) == ((True,), (True,), (False,))
    assert (told[4]["audio"][0].type, told[5]["audio"][0].type.value) == (io.FolderType.output, "temp")
    assert told[6:] == [
        {"images": [{"filename": "v.mp4"}], "animated": (True,)},
        {"result": ["m.glb", None]},
    ]
    for item in told[:3]:
        for saved in item["images"]:
            assert (here.folders.output / saved.subfolder / saved.filename).exists()
