"""Values as files and nodes that every ComfyUI has: what a value needs to reach a server without our nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from discomfort._json import JsonObject
from discomfort.context.trees import NodeList
from discomfort.core_values.core_files import (
    ValueFile,
    are_eight_bits,
    array_of,
    eight_bits,
    latent_file,
    png_file,
    wave_file,
)
from discomfort.core_values.value_fitting import described
from discomfort.workflow.compilation import Recipe
from discomfort.workflow.port_types import is_known
from discomfort.workflow.prompt_ports import NodeOutput

if TYPE_CHECKING:
    from discomfort.core_values.core_files import Array

_HARMLESS = frozenset({"downscale_ratio_spacial"})
"""What newer versions keep beside the samples of an empty latent; a sampler does without it."""
_MOST_CHANNELS, _MOST_BYTES = 8, 1 << 32
_DIMENSIONS = {"IMAGE": 4, "MASK": 3}


@dataclass(frozen=True, slots=True)
class Shipment:
    """A value of a kind (IMAGE, MASK, LATENT, AUDIO or VIDEO) as the names of files, without their content."""

    kind: str
    names: tuple[str, ...]
    masks: tuple[str, ...] = ()
    has_alpha: bool = False

    def recipe(self, on_server: Mapping[str, str]) -> Recipe:
        """The nodes that load it; ``on_server`` has what an input takes for each file."""
        nodes = _Nodes()
        files = [on_server[name] for name in self.names]
        if self.kind == "LATENT":
            end = nodes.add("LoadLatent", latent=files[0])
            if self.masks:
                mask = _mask(nodes, [on_server[name] for name in self.masks])
                end = nodes.add("SetLatentNoiseMask", samples=end, mask=mask)
        elif self.kind == "AUDIO":
            end = nodes.add("LoadAudio", audio=files[0])
        elif self.kind == "VIDEO":
            end = nodes.add("LoadVideo", file=files[0])
        elif self.kind == "MASK":
            end = _mask(nodes, files)
        else:
            end = _batch(nodes, [_picture(nodes, file, has_alpha=self.has_alpha) for file in files])
        return Recipe(nodes.made, end, self.kind)

    @property
    def classes(self) -> list[str]:
        """The classes of its nodes."""
        every = (*self.names, *self.masks)
        return sorted({node["class_type"] for node in self.recipe(dict(zip(every, every, strict=True))).nodes.values()})


def kind_of(content: Any, taken: str) -> str:
    """IMAGE, MASK, LATENT or AUDIO: by the type ``taken`` of the inputs, or, where that is unknown, by the value.

    Empty if it is none of them.
    """
    if is_known(taken):
        return next((each for each in taken.upper().split(",") if each.strip() in _FORMS), "").strip()
    if isinstance(content, Mapping):
        return "LATENT" if "samples" in content else "AUDIO" if "waveform" in content else ""
    array = array_of(content)
    if array is None or array.dtype.kind != "f":
        return ""
    return next((kind for kind, count in _DIMENSIONS.items() if array.ndim == count), "")


def problem_of(content: Any, taken: str, classes: Container[str]) -> str:
    """Why a value cannot become files, or a server without our nodes cannot load them; empty if it can."""
    kind = kind_of(content, taken)
    if isinstance(content, NodeList):
        return "a list of values cannot pass"
    if not kind:
        return f"{described(content)} cannot pass, only constants, IMAGE, MASK, LATENT and AUDIO can"
    problem = next(_FORMS[kind].problems(content), "")
    if problem:
        return problem
    shipment, _ = _FORMS[kind].outline(content)
    missing = [name for name in shipment.classes if name not in classes]
    return f"the server has no node {', '.join(missing)}" if missing else ""


def loss_of(content: Any, taken: str) -> str:
    """What is lost of a value that can pass; empty if nothing is."""
    return _FORMS[kind_of(content, taken)].loss(content)


def packed(content: Any, taken: str) -> tuple[Shipment, list[ValueFile]]:
    """A value that can pass as files, and what loads them."""
    kind = kind_of(content, taken)
    shipment, parts = _FORMS[kind].outline(content)
    files = [make() for make in parts]
    names = tuple(file.name for file in files)
    count = len(shipment.names)
    return Shipment(kind, names[:count], names[count:], shipment.has_alpha), files


# --- nodes -----------------------------------------------------------------------------------------------------------


class _Nodes:
    """Nodes with ids made of their content, so that equal ones are one."""

    def __init__(self) -> None:
        self.made: dict[str, JsonObject] = {}

    def add(self, class_type: str, **inputs: Any) -> NodeOutput:
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in inputs.items()}
        digest = hashlib.sha256(repr((class_type, sorted(given.items()))).encode()).hexdigest()
        node_id = f"v{digest[:20]}"
        self.made[node_id] = {"class_type": class_type, "inputs": given, "_meta": {"title": class_type}}
        return node_id, 0


def _picture(nodes: _Nodes, file: str, *, has_alpha: bool) -> NodeOutput:
    loaded = nodes.add("LoadImage", image=file)
    # The mask is 1 where the picture is transparent, and turned back when it is joined.
    return nodes.add("JoinImageWithAlpha", image=loaded, alpha=(loaded[0], 1)) if has_alpha else loaded


def _mask(nodes: _Nodes, files: Sequence[str]) -> NodeOutput:
    if len(files) == 1:
        return nodes.add("LoadImageMask", image=files[0], channel="red")
    pictures = _batch(nodes, [_picture(nodes, file, has_alpha=False) for file in files])
    return nodes.add("ImageToMask", image=pictures, channel="red")


def _batch(nodes: _Nodes, pictures: Sequence[NodeOutput]) -> NodeOutput:
    """Pictures joined in their order, in pairs of pairs, so that a long batch is not copied for each of them."""
    joined = list(pictures)
    while len(joined) > 1:
        pairs = [joined[index : index + 2] for index in range(0, len(joined), 2)]
        joined = [
            nodes.add("ImageBatch", image1=pair[0], image2=pair[1]) if len(pair) == 2 else pair[0] for pair in pairs
        ]
    return joined[0]


# --- kinds of values -------------------------------------------------------------------------------------------------


_Part = Callable[[], ValueFile]


@dataclass(frozen=True, slots=True)
class _Form:
    """What a kind of value needs. ``outline`` gives a shipment whose names only count, and what makes the files."""

    problems: Callable[[Any], Iterator[str]]
    loss: Callable[[Any], str]
    outline: Callable[[Any], tuple[Shipment, list[_Part]]]


def _level_problems(array: Array | None, wanted: str, dimensions: int) -> Iterator[str]:
    import numpy as np

    if array is None or array.ndim != dimensions or array.dtype.kind != "f" or 0 in array.shape:
        yield f"it is not {wanted}"
    elif not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        yield "it has numbers outside of 0 to 1, which a picture file cannot have"


def _image_problems(value: Any) -> Iterator[str]:
    array = array_of(value)
    wanted = "an array [batch, height, width, 3 or 4] of floats"
    yield from _level_problems(array, wanted, _DIMENSIONS["IMAGE"])
    if array is not None and array.ndim == _DIMENSIONS["IMAGE"] and array.shape[-1] not in (3, 4):
        yield f"it is not {wanted}"


def _mask_problems(value: Any) -> Iterator[str]:
    yield from _level_problems(array_of(value), "an array [batch, height, width] of floats", _DIMENSIONS["MASK"])


def _level_loss(value: Any) -> str:
    array = array_of(value)
    return "" if array is None or are_eight_bits(array) else "its numbers are rounded to 8 bits"


def _image_outline(value: Any) -> tuple[Shipment, list[_Part]]:
    array = _array(value)
    has_alpha = array.shape[-1] == 4
    parts = [_png_part(picture) for picture in array]
    return Shipment("IMAGE", _numbered(parts), has_alpha=has_alpha), parts


def _mask_outline(value: Any) -> tuple[Shipment, list[_Part]]:
    parts = [_mask_part(each) for each in _array(value)]
    return Shipment("MASK", _numbered(parts)), parts


def _latent_problems(value: Any) -> Iterator[str]:
    samples = array_of(value.get("samples")) if isinstance(value, Mapping) else None
    if samples is None or samples.dtype.kind != "f":
        yield "it is not a dictionary whose 'samples' are an array of floats"
        return
    others = sorted(str(key) for key in value.keys() - {"samples", "noise_mask"} - _HARMLESS)
    if others:
        yield f"a latent file has no place for {', '.join(map(repr, others))} beside the samples"
    if value.get("noise_mask") is not None:
        mask = _noise_mask(value)
        for text in _level_problems(mask, "an array [batch, 1, height, width] of floats", _DIMENSIONS["MASK"]):
            yield f"'noise_mask': {text}"


def _latent_loss(value: Any) -> str:
    import numpy as np

    samples = _array(value["samples"])
    if not np.array_equal(samples.astype(np.float32), samples, equal_nan=True):
        return "its numbers are rounded to 32 bits"
    mask = _noise_mask(value)
    return "" if mask is None or are_eight_bits(mask) else "its noise mask is rounded to 8 bits"


def _latent_outline(value: Any) -> tuple[Shipment, list[_Part]]:
    samples, mask = _array(value["samples"]), _noise_mask(value)
    masks = [] if mask is None else [_mask_part(each) for each in mask]
    return Shipment("LATENT", ("0",), _numbered(masks, 1)), [lambda: latent_file(samples), *masks]


def _audio_problems(value: Any) -> Iterator[str]:
    sound = array_of(value.get("waveform")) if isinstance(value, Mapping) else None
    rate = value.get("sample_rate") if isinstance(value, Mapping) else None
    if sound is None or sound.dtype.kind != "f" or sound.ndim != 3 or 0 in sound.shape or not isinstance(rate, int):
        yield "it is not a dictionary with 'waveform' [1, channel, sample] of floats and the whole number 'sample_rate'"
    elif len(sound) > 1:
        yield f"a batch of {len(sound)} sounds cannot pass, only one sound"
    elif sound.shape[1] > _MOST_CHANNELS or sound.nbytes >= _MOST_BYTES or not 0 < rate < 1 << 31:
        yield "it has more channels or samples than a WAV file can have"
    else:
        others = sorted(str(key) for key in value.keys() - {"waveform", "sample_rate"})
        if others:
            yield f"a sound file has no place for {', '.join(map(repr, others))}"


def _audio_loss(value: Any) -> str:
    import numpy as np

    sound = _array(value["waveform"])
    return "" if np.array_equal(sound.astype(np.float32), sound, equal_nan=True) else "it is rounded to 32 bits"


def _audio_outline(value: Any) -> tuple[Shipment, list[_Part]]:
    sound, rate = _array(value["waveform"]), value["sample_rate"]
    return Shipment("AUDIO", ("0",)), [lambda: wave_file(sound[0], rate)]


def _array(value: Any) -> Array:
    array = array_of(value)
    if array is None:
        raise TypeError(f"not an array: {described(value)}")
    return array


def _noise_mask(value: Mapping[str, Any]) -> Array | None:
    """The mask of a latent as ``[batch, height, width]``, as far as it has that form."""
    mask = array_of(value.get("noise_mask"))
    return mask[:, 0] if mask is not None and mask.ndim == 4 and mask.shape[1] == 1 else mask


def _png_part(picture: Array) -> _Part:
    return lambda: png_file(eight_bits(picture))


def _mask_part(mask: Array) -> _Part:
    import numpy as np

    # Three equal channels, since greyscale is converted, not just read, by some versions.
    return lambda: png_file(np.repeat(eight_bits(mask)[..., None], 3, axis=2))


def _numbered(parts: Sequence[_Part], first: int = 0) -> tuple[str, ...]:
    return tuple(str(first + index) for index in range(len(parts)))


_FORMS: Mapping[str, _Form] = {
    "IMAGE": _Form(_image_problems, _level_loss, _image_outline),
    "MASK": _Form(_mask_problems, _level_loss, _mask_outline),
    "LATENT": _Form(_latent_problems, _latent_loss, _latent_outline),
    "AUDIO": _Form(_audio_problems, _audio_loss, _audio_outline),
}
