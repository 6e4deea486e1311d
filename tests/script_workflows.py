"""The workflows of the documented scripts, as the frontend saves them.

Those that the original ships lie in ``examples/workflows``, written by ``python tests/script_workflows.py``; the others
exist for the scripts of its documentation, whose pages use one name for several workflows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from port_workflows import Graph, Workflow

SHIPPED = Path(__file__).resolve().parents[1] / "examples" / "workflows"
CHECKPOINT = "sd_xl_base_1.0.safetensors"
LORA = "sd_xl_offset_example-lora_1.0.safetensors"

Source = tuple[int, int]
"""A node's id, and one of its outputs."""

# Sockets, widgets with their values, and outputs. What becomes of a seed after a run is a value without an input.
_KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "CheckpointLoaderSimple": ("", {"ckpt_name:COMBO": CHECKPOINT}, "MODEL:MODEL CLIP:CLIP VAE:VAE"),
    "LoraLoader": (
        "model:MODEL clip:CLIP",
        {"lora_name:COMBO": LORA, "strength_model:FLOAT": 1, "strength_clip:FLOAT": 1},
        "MODEL:MODEL CLIP:CLIP",
    ),
    "CLIPTextEncode": ("clip:CLIP", {"text:STRING": ""}, "CONDITIONING:CONDITIONING"),
    "EmptyLatentImage": ("", {"width:INT": 1024, "height:INT": 1024, "batch_size:INT": 1}, "LATENT:LATENT"),
    "VAEEncode": ("pixels:IMAGE vae:VAE", {}, "LATENT:LATENT"),
    "VAEDecode": ("samples:LATENT vae:VAE", {}, "IMAGE:IMAGE"),
    "KSampler": (
        "model:MODEL positive:CONDITIONING negative:CONDITIONING latent_image:LATENT",
        {"seed:INT": 0, "": "fixed", "steps:INT": 20, "cfg:FLOAT": 8, "sampler_name:COMBO": "euler",
         "scheduler:COMBO": "normal", "denoise:FLOAT": 1},
        "LATENT:LATENT",
    ),
    "ImageScaleBy": ("image:IMAGE", {"upscale_method:COMBO": "nearest-exact", "scale_by:FLOAT": 2}, "IMAGE:IMAGE"),
    "ImageInvert": ("image:IMAGE", {}, "IMAGE:IMAGE"),
    "SaveImage": ("images:IMAGE", {"filename_prefix:STRING": "discomfort"}, ""),
    "Reroute": ("input:*", {}, "output:*"),
    "StandInImprove": ("image:IMAGE", {}, "IMAGE:IMAGE"),
    "StandInJudge": ("image:IMAGE", {"prompt:STRING": ""}, "FLOAT:FLOAT"),
}  # fmt: skip


class Drawing:
    """A workflow under construction, in which a node's inputs are named: fed by a node, a port, or a constant."""

    def __init__(self) -> None:
        self._graph = Graph()
        self._ports: dict[str, Source] = {}

    def add(self, kind: str, **inputs: Source | str | float) -> Source:
        """A node. A source feeds an input, and so does the port that a text with ``@`` names; others are constants."""
        sockets, widgets, outputs = _KINDS[kind]
        named = [*sockets.split(), *filter(None, widgets)]
        values = {name.partition(":")[0]: value for name, value in widgets.items()}
        constants = {key: value for key, value in inputs.items() if key in values and not _is_link(value)}
        node_id = self._graph.add(kind, " ".join(named), outputs, list({**values, **constants}.values()))
        node = self._graph.nodes[-1]
        for slot in node["inputs"]:
            if slot["name"] in values:
                slot["widget"] = {"name": slot["name"]}
        names = [name.partition(":")[0] for name in named]
        for key, value in inputs.items():
            if _is_link(value):
                origin, slot = self._source(value)
                self._graph.link(origin, slot, node_id, names.index(key), named[names.index(key)].partition(":")[2])
        return node_id, 0

    def out(self, unique_id: str, source: Source) -> None:
        """An OUTPUT port."""
        port = self._graph.port(unique_id)
        self._widget_slot()
        self._graph.link(*source, port)

    def workflow(self) -> Workflow:
        """All of it, laid out in rows."""
        for index, node in enumerate(self._graph.nodes):
            node["pos"] = [40 + index % 5 * 320, 40 + index // 5 * 280]
            node["size"] = [280, 220]
        return {key: value for key, value in self._graph.workflow().items() if key not in ("id", "revision")}

    def _source(self, value: Any) -> Source:
        if isinstance(value, tuple):
            return value
        unique_id = value.removeprefix("@")
        if unique_id not in self._ports:
            self._ports[unique_id] = (self._graph.port(unique_id), 0)
            self._widget_slot()
        return self._ports[unique_id]

    def _widget_slot(self) -> None:
        slot = {"name": "unique_id", "type": "STRING", "link": None, "widget": {"name": "unique_id"}}
        self._graph.nodes[-1]["inputs"].append(slot)
        self._graph.nodes[-1]["inputs"][0]["shape"] = 7


def _is_link(value: object) -> bool:
    return isinstance(value, tuple) or (isinstance(value, str) and value.startswith("@"))


def picture(
    out: str,
    *,
    objects: tuple[Any, Any, Any] | None = None,
    latent: str = "empty",
    sizes: Mapping[str, Any] = MappingProxyType({}),
    behind: Sequence[str] = (),
    **inputs: Any,
) -> Workflow:
    """A picture from a text.

    ``objects`` are what gives model, clip and vae, by default a checkpoint that is loaded. ``latent`` is "empty",
    "image" (of the port ``input_image``), or a port. ``behind`` are the classes of nodes behind it. ``inputs`` are of
    the loader (``ckpt_name``), the texts (``positive``, ``negative``), and the sampler.
    """
    made = Drawing()
    if objects is None:
        loader, _ = made.add("CheckpointLoaderSimple", ckpt_name=inputs.pop("ckpt_name", CHECKPOINT))
        objects = ((loader, 0), (loader, 1), (loader, 2))
    model, clip, vae = objects
    model = inputs.pop("model", model)
    positive = made.add("CLIPTextEncode", clip=clip, text=inputs.pop("positive", "a fox"))
    negative = made.add("CLIPTextEncode", clip=clip, text=inputs.pop("negative", "rain"))
    start: Any = latent
    if latent == "empty":
        start = made.add("EmptyLatentImage", **sizes)
    elif latent == "image":
        start = made.add("VAEEncode", pixels="@input_image", vae=vae)
    sampled = made.add("KSampler", model=model, positive=positive, negative=negative, latent_image=start, **inputs)
    result = made.add("VAEDecode", samples=sampled, vae=vae)
    for kind in behind:
        passed = made.add(kind, **{first_input(kind): result})
        result = passed if _KINDS[kind][2] else result
    if out:
        made.out(out, result)
    return made.workflow()


def first_input(kind: str) -> str:
    """The first input of a class."""
    return _KINDS[kind][0].partition(":")[0]


def loading(*outs: str, name: str = "", lora: bool = False) -> Workflow:
    """A workflow that loads a checkpoint, and perhaps a LoRA; ``outs`` are the ids for model, clip and vae."""
    made = Drawing()
    loader, _ = made.add("CheckpointLoaderSimple", **({"ckpt_name": "@" + name} if name else {}))
    sources = [(loader, 0), (loader, 1), (loader, 2)]
    if lora:
        node_id, _ = made.add("LoraLoader", model=sources[0], clip=sources[1], lora_name="@lora_name",
                              strength_model="@lora_strength", strength_clip="@lora_strength")  # fmt: skip
        sources[:2] = [(node_id, 0), (node_id, 1)]
    for unique_id, source in zip(outs, sources, strict=False):
        made.out(unique_id, source)
    return made.workflow()


def chain(*kinds: str, take: str = "", give: str = "", **inputs: Any) -> Workflow:
    """Nodes with one picture going through all of them; ``inputs`` are those of the last one."""
    made = Drawing()
    source: Any = "@" + take
    for index, kind in enumerate(kinds):
        source = made.add(kind, **{first_input(kind): source}, **(inputs if index == len(kinds) - 1 else {}))
    if give:
        made.out(give, source)
    return made.workflow()


def _latent(*, empty: bool) -> Workflow:
    made = Drawing()
    source = made.add("EmptyLatentImage") if empty else made.add("VAEEncode", pixels="@input_image", vae="@vae")
    made.out("latent", source)
    return made.workflow()


MODELS = ("model", "clip", "vae")
GIVEN = ("@model", "@clip", "@vae")
PROMPT, SEED = {"positive": "@prompt"}, {"seed": "@seed"}
SWEPT = {**PROMPT, **SEED, "negative": "@negative_prompt", "cfg": "@cfg_scale", "steps": "@steps"}

SHIPPED_WORKFLOWS: dict[str, Callable[[], Workflow]] = {
    "discomfort_test1": lambda: picture("output_image", behind=["SaveImage"], seed="@seed", cfg="@cfg"),
    "discomfort_test2": lambda: picture(
        "output_image", latent="image", behind=["SaveImage"], seed="@seed", denoise=0.5
    ),
    "sdxl_load_model_and_lora": lambda: loading(*MODELS, name="model_name", lora=True),
    "latent_1024x1024_empty": lambda: _latent(empty=True),
    "latent_from_input_image": lambda: _latent(empty=False),
    "sdxl_run_ksampler": lambda: picture("output_image", objects=GIVEN, latent="@latent", denoise="@denoise", **PROMPT),
    "test_workflow": lambda: picture("output_image", ckpt_name="@model_name", **PROMPT),
    "invert": lambda: chain("ImageInvert", take="test_input", give="test_output"),
    "discomfort_workflow": lambda: picture("output_image", **PROMPT, **SEED, cfg="@cfg_scale"),
    "parameter_sweep_workflow": lambda: picture(
        "output_image", sizes={"width": "@width", "height": "@height"}, **SWEPT
    ),
}
"""Those in ``examples/workflows``."""

FAILING: Workflow = {
    "1": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "n"}},
    "2": {"class_type": "StandInFail", "inputs": {"value": ["1", 0]}},
    "3": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "m", "input_data": ["2", 0]}},
}
_LOADED = {"load_model": lambda: loading(*MODELS)}
_NAMED = {"load_model": lambda: loading(*MODELS, name="model_name")}
_PROCESS = {"process": lambda: picture("final_image", objects=GIVEN, **PROMPT)}
_SAVE = {"save": lambda: chain("SaveImage", take="final_image", filename_prefix="scripts/saved")}
_UPSCALE = {"upscale": lambda: chain("ImageScaleBy", take="final_image", give="upscaled_image")}
_ANY = {"workflow": lambda: picture("output_image", **PROMPT, **SEED)}

WORKFLOWS: dict[str, dict[str, Callable[[], Workflow]]] = {
    "r06": {
        "stitch_load": lambda: loading(*MODELS),
        "stitch_model": lambda: loading("model", name="model_name"),
        "stitch_sample": lambda: picture("image", objects=GIVEN),
    },
    "r10": {
        "improve": lambda: chain("StandInImprove", take="input_image", give="output_image"),
        "judge": lambda: chain("StandInJudge", take="image_to_assess", give="quality_index", prompt="@llm_prompt"),
    },
    "e01": {"my_workflow": lambda: picture("output_image", **PROMPT, **SEED)},
    "e02": {
        "empty_latent": lambda: picture("output_image", **SEED),
        "img2img": lambda: picture("output_image", latent="image", denoise=0.5, **SEED),
    },
    "e03": {**_LOADED, **_PROCESS, **_SAVE},
    "e04": {**_ANY, **_LOADED, **_PROCESS, **_UPSCALE, "failing": lambda: FAILING},
    "e05": _ANY,
    "e06": {
        **_NAMED,
        "img2img_workflow": lambda: picture(
            "output_image", objects=GIVEN, latent="image", denoise=0.5, cfg="@cfg", **PROMPT, **SEED
        ),
    },
    "e10": {"img2img": lambda: picture("output_image", latent="image", denoise=0.5, **SEED)},
    "e11": {
        **_LOADED,
        "enhance_workflow": lambda: picture(
            "enhanced_image", objects=GIVEN, latent="image", denoise=0.5, **PROMPT, **SEED
        ),
    },
    "e12": {
        **_LOADED, **_PROCESS, **_SAVE,
        "complex_workflow": lambda: picture("final_image", behind=["Reroute", "ImageInvert", "SaveImage"]),
    },
    "e13": {
        **_NAMED, **_UPSCALE,
        "img2img": lambda: picture(
            "final_image", objects=GIVEN, latent="image", denoise=0.5, **PROMPT, **SEED
        ),
    },
    "e14": {
        "load_model": lambda: loading("my_model"),
        "main_workflow": lambda: picture("output", model="@my_model", **PROMPT, **SEED),
    },
}  # fmt: skip
"""Those that scripts expect beside them, by the id of the script."""


def written(folder: Path, workflows: Mapping[str, Callable[[], Workflow]], names: Iterable[str] = ()) -> None:
    """Write workflows as files, by default all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or workflows:
        (folder / f"{name}.json").write_text(text_of(workflows[name]()), encoding="utf-8")


def text_of(workflow: Workflow) -> str:
    """A workflow as it is in its file."""
    return json.dumps(workflow, indent=1) + "\n"


if __name__ == "__main__":
    written(SHIPPED, SHIPPED_WORKFLOWS)
