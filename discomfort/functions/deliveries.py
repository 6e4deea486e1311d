"""Values of a call that reach the server as files: which files, and what loads them."""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from discomfort._error_text import joined
from discomfort.client.artifact import Artifact
from discomfort.client.outputs import Output, OutputFields
from discomfort.connector.run_result import RunResult
from discomfort.context.file_values import FILE_3D, FileValue
from discomfort.context.pictures import is_picture
from discomfort.context.tensors import is_tensor
from discomfort.core_values.core_files import ValueFile, array_of, eight_bits, latent_file, png_file, wave_file
from discomfort.core_values.core_inputs import Shipment, kind_of, packed, problem_of
from discomfort.core_values.value_fitting import described, fitted, misfit
from discomfort.functions.call_files import (
    CallFile,
    DataFile,
    LocalFile,
    MadeFile,
    OpenFile,
    OutputFile,
    data_file,
    named_file,
)
from discomfort.functions.result_face import ResultFace
from discomfort.functions.value_checks import CONSTANT_TYPES, ValueTrouble
from discomfort.sync_run import SyncOutput, SyncRunResult
from discomfort.workflow.port_types import ANY

if TYPE_CHECKING:
    from discomfort.core_values.core_files import Array

FILE_KINDS: Mapping[str, tuple[str, ...]] = {
    "IMAGE": ("image", "video"), "MASK": ("image",), "AUDIO": ("audio", "video"), "VIDEO": ("video", "image"),
    "LATENT": ("file",),
}  # fmt: skip
"""Kinds of outputs that each type may be loaded from; any other type from any."""
LOADED_TYPES = frozenset(FILE_KINDS)
"""Types that ComfyUI's own nodes load from files."""
_TYPES_OF_KINDS = {"image": "IMAGE", "video": "VIDEO", "audio": "AUDIO"}
_FORMS: Mapping[str, str] = {
    **dict.fromkeys(("IMAGE", "MASK"), "a picture of Pillow, an array, "),
    "AUDIO": "a dictionary with 'waveform' and 'sample_rate', ", "LATENT": "a dictionary with 'samples', ",
}  # fmt: skip
"""What some types take beside files."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The files of one value by name, and the nodes that load them where the input takes no file but the value."""

    shipment: Shipment
    files: Mapping[str, CallFile] = field(repr=False)

    @property
    def subfolder(self) -> str:
        """Where ComfyUI looks for such files in its input folder."""
        return "3d" if self.shipment.kind.startswith(FILE_3D) else ""


def takes(kind: str) -> str:
    """What an input of this type takes: ``takes IMAGE: a path, bytes, …``."""
    known = kind.upper()
    named = known if known in LOADED_TYPES or kind == known != "" else "a file"
    return f"takes {named}: a path, bytes, a file object, {_FORMS.get(known, '')}or an output of another run"


def refuse_result(value: object, kind: str) -> None:
    """Raise ValueTrouble if a value is the whole result of a run: which of its outputs could be meant is told."""
    whole = next((each for each in (value if isinstance(value, list | tuple) else [value]) if _is_result(each)), None)
    if whole is None:
        return
    if not isinstance(whole, ResultFace):
        one = "result.images[0]" if kind.upper() in ("IMAGE", "MASK") else "result.outputs[0]"
        raise ValueTrouble(f"takes one output, given the whole result of a run: give one of it, as {one}")
    kinds = ("value", "text") if kind.upper() in CONSTANT_TYPES else FILE_KINDS.get(kind.upper(), ())
    fitting = [name for name, items in whole._named.items() if not kinds or any(o.kind in kinds for o in items.outputs)]
    spelled = joined([whole._spelled(name) for name in fitting], ", ", 5)
    told = f"give {spelled}" if fitting else f"it has no output of type {kind}" if kinds else "it has no outputs"
    raise ValueTrouble(f"takes one output, given the whole result of {whole._name}: {told}")


def _is_result(value: object) -> bool:
    return isinstance(value, ResultFace | RunResult | SyncRunResult)


def file_delivery(value: object, kind: str, *, may_be_named: bool) -> Delivery:
    """A value for an input that names one file, such as ``LoadImage.image``. Raises ValueTrouble.

    ``kind`` is the type of the file's content, ``may_be_named`` says whether the input finds outputs of runs.
    """
    items = _items(value)
    if len(items) != 1:
        raise ValueTrouble(f"takes one file, given {len(items)}: choose one, or call it for each")
    return _of_files([_file(items[0], kind, may_be_named=may_be_named)], kind)


def value_delivery(value: object, kind: str, classes: Container[str]) -> Delivery:
    """A value for inputs that take no constants, such as one of type IMAGE, by nodes that every ComfyUI has.

    ``classes`` are those of the server. Raises ValueTrouble.
    """
    if kind not in LOADED_TYPES:
        raise ValueTrouble(
            f"takes {kind}, which no node of every ComfyUI loads: run the workflow by Discomfort.run, whose servers "
            "have nodes for it"
        )
    if _is_array(value) or (isinstance(value, Mapping) and kind in ("LATENT", "AUDIO")):
        content = fitted(value, kind)
        problem = misfit(content, kind) or problem_of(content, kind, classes)
        if problem:
            raise ValueTrouble(problem)
        shipment, files = _outlined(content, kind)
        return Delivery(shipment, files)
    items = _items(value)
    if not items or (len(items) > 1 and kind not in ("IMAGE", "MASK")):
        raise ValueTrouble(f"takes one value of type {kind}, given {len(items)}")
    made = _of_files([_file(each, kind, may_be_named=True) for each in items], kind)
    missing = [name for name in made.shipment.classes if name not in classes]
    if missing:
        raise ValueTrouble(f"takes {kind}, and the server has no node {', '.join(missing)} to load it")
    return made


def kind_of_value(value: object) -> str:
    """The type of a value for inputs of unknown type; empty for constants, and where only the content would tell."""
    items = _items(value)
    first = items[0] if items else None
    if isinstance(first, OutputFields):
        is_latent = (first.filename or "").endswith(".latent")
        return "LATENT" if is_latent else _TYPES_OF_KINDS.get(first.kind, "")
    if isinstance(first, FileValue):
        return first.kind
    return "IMAGE" if is_picture(first) else kind_of(value, ANY)


def _of_files(files: list[CallFile], kind: str) -> Delivery:
    named = {str(index): file for index, file in enumerate(files)}
    return Delivery(Shipment(kind, tuple(named)), named)


def _outlined(content: Any, kind: str) -> tuple[Shipment, dict[str, CallFile]]:
    shipment, made = packed(content, kind)
    stem = kind.lower()
    return shipment, {file.name: DataFile(file.data, f"{stem}{file.suffix}") for file in made}


def _items(value: object) -> list[object]:
    """The single values of a list, or of all that one output of a run gave."""
    found = []
    for each in value if isinstance(value, list | tuple) else [value]:
        outputs = getattr(each, "outputs", None)
        is_output = isinstance(outputs, tuple) and all(isinstance(item, OutputFields) for item in outputs)
        if is_output and not outputs:
            raise ValueTrouble("the output has nothing in it")
        found += list(outputs) if is_output and isinstance(outputs, tuple) else [each]
    return found


def _file(value: object, kind: str, *, may_be_named: bool) -> CallFile:
    """One file. Raises ValueTrouble."""
    stem = kind.lower() if kind.isidentifier() else "file"
    if isinstance(value, str | os.PathLike):
        return named_file(cast("str | os.PathLike[str]", value))
    if isinstance(value, bytes | bytearray | memoryview):
        return data_file(value, stem)
    if isinstance(value, OutputFields):
        return _output_file(value, kind, may_be_named=may_be_named)
    if isinstance(value, Artifact):
        return _artifact_file(value, stem)
    if isinstance(value, FileValue):
        return DataFile(value.view, stem + value.suffix)
    if is_picture(value) or _is_array(value) or isinstance(value, Mapping):
        return MadeFile(_maker(value, kind), stem)
    if isinstance(value, io.TextIOBase):
        raise ValueTrouble("the file object gives text: open it in binary mode, as open(path, 'rb')")
    if inspect.iscoroutinefunction(getattr(value, "read", None)):
        raise ValueTrouble("the file object is read with await: give its bytes, as await file.read()")
    if callable(getattr(value, "read", None)):
        return OpenFile(cast("BinaryIO", value), stem)
    raise ValueTrouble(f"{takes(kind)}, given {described(value)}")


def _output_file(output: OutputFields, kind: str, *, may_be_named: bool) -> CallFile:
    kinds = FILE_KINDS.get(kind, ())
    if output.filename is None or (kinds and output.kind not in kinds):
        raise ValueTrouble(f"takes {kind}, given an output of the kind {output.kind!r} (node {output.node_id})")
    if isinstance(output, SyncOutput):
        inner, reader = output.output, output
        rest = inner._rest

        async def read() -> bytes:
            # Its server may be another one, whose connector lives in another loop.
            from discomfort._system.concurrency import in_own_thread

            return await in_own_thread(reader.read)
    elif isinstance(output, Output):
        rest, read = output._rest, output.read
    else:
        raise ValueTrouble(f"{takes(kind)}, given {described(output)}")
    return OutputFile(output, read, "" if rest is None else rest.url, may_be_named)


def _artifact_file(artifact: Artifact, stem: str) -> CallFile:
    if artifact.path is not None:
        return LocalFile(artifact.path)
    return DataFile(artifact.data or b"", artifact.filename or stem)


# --- values that become files ----------------------------------------------------------------------------------------


def _maker(value: Any, kind: str) -> Callable[[], ValueFile]:
    """What makes the file of a picture, an array or a dictionary. Raises ValueTrouble."""
    if kind == "LATENT" and isinstance(value, Mapping):
        samples = array_of(value.get("samples"))
        if samples is None or samples.dtype.kind != "f":
            raise ValueTrouble("takes a dictionary whose 'samples' are an array of floats")
        return lambda: latent_file(samples)
    if kind == "AUDIO" and isinstance(value, Mapping):
        problem = problem_of(value, "AUDIO", ("LoadAudio",))
        if problem:
            raise ValueTrouble(problem)
        sound, rate = array_of(value["waveform"]), value["sample_rate"]
        return lambda: wave_file(cast("Array", sound)[0], rate)
    if isinstance(value, Mapping) or kind not in ("IMAGE", "MASK"):
        raise ValueTrouble(f"{takes(kind)}, given {described(value)}")
    if is_picture(value):
        if 0 in value.size:
            raise ValueTrouble(f"the picture is empty: its size is {value.width} x {value.height}")
        return _mask_maker(_levels_of(value)) if kind == "MASK" and _is_grey(value) else lambda: _picture_file(value)
    pixels = _pixels(value, is_mask=kind == "MASK")
    if kind == "MASK" and pixels.shape[-1] == 1:
        return _mask_maker(pixels[..., 0])
    return lambda: png_file(_with_colours(pixels))


def _is_array(value: object) -> bool:
    import numpy as np

    return isinstance(value, np.ndarray) or is_tensor(value)


def _is_grey(picture: Any) -> bool:
    return picture.mode in ("1", "L")


def _levels_of(picture: Any) -> Array:
    import numpy as np

    return np.asarray(picture.convert("L"))


def _picture_file(picture: Any) -> ValueFile:
    stream = io.BytesIO()
    writable = picture if picture.mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA") else picture.convert("RGB")
    writable.save(stream, "PNG", compress_level=1)
    return ValueFile(".png", stream.getvalue())


def _pixels(value: Any, *, is_mask: bool) -> Array:
    """The bytes ``[height, width, 1, 3 or 4]`` of one picture or mask. Raises ValueTrouble.

    Of three dimensions, the first is the batch for a mask, and for a picture whose last one cannot be its channels.
    """
    import numpy as np

    array = array_of(value)
    assert array is not None  # noqa: S101 - _is_array has said so
    if array.ndim == 4 or (array.ndim == 3 and (is_mask or array.shape[-1] not in (1, 3, 4))):
        if len(array) != 1:
            raise ValueTrouble(f"takes one picture, given {described(value)}: choose one, or call it for each")
        array = array[0]
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ValueTrouble(f"takes an array [height, width] or [height, width, 1, 3 or 4], given {described(value)}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array.astype(np.uint8) * 255)
    if array.dtype.kind != "f":
        raise ValueTrouble(f"takes floats from 0 to 1, or uint8 from 0 to 255, given {described(value)}")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise ValueTrouble("has numbers outside of 0 to 1, which a picture file cannot have: clip it, or divide by 255")
    return eight_bits(array)


def _with_colours(pixels: Array) -> Array:
    import numpy as np

    return np.repeat(pixels, 3, axis=2) if pixels.shape[-1] == 1 else pixels


def _mask_maker(levels: Array) -> Callable[[], ValueFile]:
    """A picture that is the mask in whichever channel it is read: ComfyUI takes 1 - alpha, or a colour as it is."""
    import numpy as np

    def make() -> ValueFile:
        return png_file(np.stack([levels, levels, levels, 255 - levels], axis=2))

    return make
