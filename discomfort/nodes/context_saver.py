"""``DiscomfortContextSaver``: in the place of a port where a value leaves a workflow."""

from __future__ import annotations

import re
import threading
from typing import Any, ClassVar

from ..context.codecs import EncodedValue, encode
from ..context.exchange import PREFIX, REMOTE, UI
from ..context.trees import NodeList
from ..exceptions import UnsupportedValueError
from .any_type import ANY
from .server_values import ValuePlace, save_remote_value, save_value
from .tensor_values import ObjectDigests

_INLINE = 64 << 10
"""Bytes up to which JSON goes into the record itself."""
_MOST_RUNS = 100
_NONCE = re.compile(r"[0-9a-f]{16,64}")
_LARGEST = (1 << 53) - 1
"""Bytes that an input can state: the largest integer that the frontend keeps."""

_digests = ObjectDigests()
_used: dict[str, int] = {}
"""Bytes of memory by nonce, since the savers of one run share its room."""
_lock = threading.Lock()


class DiscomfortContextSaver:
    """Stores what arrives, and says in the history what it is and where: ``{"discomfort": [record]}``.

    ============== ======================================================================================
    input          meaning
    ============== ======================================================================================
    ``unique_id``  the variable
    ``input_data`` the value, or all items of a list
    ``run_id``     the context
    ``contexts``   the folder of contexts on disk (``CONTEXTS_DIR_NAME``)
    ``memory``     the context's folder in memory, if that is not called ``run_id``
    ``nonce``      16 to 64 hex digits, new for each run; the first 16 begin the names of its files
    ``use_ram``    whether the value may go into memory
    ``room``       bytes of memory for all savers with this nonce
    ``mode``       ``val`` or ``auto``
    ``is_list``    whether the source is a list output, which a single item does not tell
    ``is_remote``  whether the client shares no files with this server, and fetches the value
    ============== ======================================================================================

    The record has ``unique_id``, ``nonce``, ``is_list``, ``codec``, ``size`` in bytes, ``digest``, ``storage``
    (``ram``, ``disk`` or ``remote``), and either ``blob``, the name of the file, or ``text``, a small value as JSON.

    It runs in every prompt, though what stands before it may be cached, because its ``nonce`` differs each time. It
    raises if the value cannot be stored. With ``mode`` "auto" this does not apply to a value that no codec holds: its
    record has no codec, and the client keeps the reference.
    """

    CATEGORY: ClassVar[str] = "discomfort/internal"
    DESCRIPTION: ClassVar[str] = "Made by Discomfort runs, in the place of a port. Not for workflows."
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()
    INPUT_IS_LIST: ClassVar[bool] = True
    OUTPUT_NODE: ClassVar[bool] = True
    FUNCTION: ClassVar[str] = "save_output"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The inputs. ``room``: bytes of memory for all savers of a run; ``is_list``: the source is a list output."""
        text = ("STRING", {"default": ""})
        return {
            "required": {"unique_id": text, "input_data": (ANY,)},
            "optional": {
                "run_id": text,
                "contexts": ("STRING", {"default": "contexts"}),
                "memory": text,
                "nonce": text,
                "use_ram": ("BOOLEAN", {"default": True}),
                "room": ("INT", {"default": 0, "min": 0, "max": _LARGEST}),
                "mode": (["auto", "val"], {"default": "auto"}),
                "is_list": ("BOOLEAN", {"default": False}),
                "is_remote": ("BOOLEAN", {"default": False}),
            },
        }

    def save_output(self, unique_id: list[str], input_data: list[Any], **options: list[Any]) -> dict[str, Any]:
        """The record, for the history. All arguments are lists, since ``input_data`` is one."""
        given = {name: values[0] for name, values in options.items() if values}
        is_list = bool(given.get("is_list")) or len(input_data) != 1
        value = NodeList(input_data) if is_list else input_data[0]
        record: dict[str, Any] = {
            "unique_id": unique_id[0],
            "nonce": given.get("nonce", ""),
            "is_list": is_list,
            **dict.fromkeys(("blob", "codec", "digest", "storage", "text")),
            "size": 0,
        }
        encoded = _encoded(value, unique_id[0], is_needed=given.get("mode") == "val")
        if encoded is not None:
            record |= {"codec": encoded.codec, "size": encoded.size, "digest": _digests.of(value, encoded)}
            record |= _stored(encoded, given)
        return {"ui": {UI: [record]}}


def _encoded(value: object, unique_id: str, *, is_needed: bool) -> EncodedValue | None:
    try:
        return encode(value)
    except UnsupportedValueError as error:
        if not is_needed:
            return None
        raise UnsupportedValueError(
            f"the variable {unique_id!r} cannot be passed by value: {error.problem}",
            place=error.place,
            remedy="Let the rules say 'ref' or 'auto' for the type of this port",
        ) from error


def _stored(encoded: EncodedValue, given: dict[str, Any]) -> dict[str, Any]:
    """Where the value is, as the record has it."""
    if encoded.codec == "json" and encoded.size <= _INLINE:
        return {"storage": "ram", "text": encoded.head.decode("ascii")}
    if given.get("is_remote"):
        digest = save_remote_value(encoded)
        return {"storage": REMOTE, "blob": digest, "digest": digest}
    place = ValuePlace(given.get("run_id", ""), given.get("contexts") or "contexts", given.get("memory") or "")
    nonce = str(given.get("nonce", ""))
    prefix = nonce[:PREFIX] if _NONCE.fullmatch(nonce) else ""
    with _lock:
        used = _used.get(nonce, 0)
        room = given.get("room", 0) - used if given.get("use_ram", True) else -1
        storage, name = save_value(place, encoded, room=room, prefix=prefix)
        if storage == "ram":
            _used.pop(nonce, None)
            _used[nonce] = used + encoded.size
            while len(_used) > _MOST_RUNS:
                del _used[next(iter(_used))]
    return {"storage": storage, "blob": name}
