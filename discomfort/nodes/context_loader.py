"""``DiscomfortContextLoader``: in the place of a port where the value of a variable enters a workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ..context.codecs import decode
from ..context.exchange import HANDSHAKE, LOADER, REMOTE
from ..context.trees import NodeList
from ..exceptions import DamagedDataError, StateError
from .any_type import ANY
from .server_values import ValuePlace, handshake, is_remote_value, load_value
from .tensor_values import with_tensors

_PLACE = ("run_id", "contexts", "memory", "storage", "blob")


class DiscomfortContextLoader:
    """Gives a value of a context: the one that ``text`` has, or else the one in a file.

    ============= =======================================================================================
    input         meaning
    ============= =======================================================================================
    ``run_id``    the context
    ``unique_id`` the variable
    ``text``      a small value, encoded as JSON; then no other input is needed
    ``blob``      the name of the file
    ``storage``   where it is: ``ram`` or ``disk``
    ``contexts``  the folder of contexts on disk (``CONTEXTS_DIR_NAME``)
    ``memory``    the context's folder in memory, if that is not called ``run_id``
    ``codec``     how the value is encoded: ``json`` or ``tensors``
    ``digest``    stands for the content
    ``is_list``   whether a plain list is a list output, as a ``NodeList`` always is
    ============= =======================================================================================

    It has no ``IS_CHANGED``: ComfyUI runs it again, and what stands behind it, if one of its inputs differs. The place
    of the file differs from save to save though the content may not. So ``run_id``, ``blob``, ``storage``, ``contexts``
    and ``memory`` can be in the node's ``_meta`` instead, under the key ``discomfort``, which ComfyUI does not compare.
    ``blob`` is left out then, and ``run_id`` is empty. Where the server sees no such file, the value is the one that
    was uploaded with this ``digest``.
    """

    CATEGORY: ClassVar[str] = "discomfort/internal"
    DESCRIPTION: ClassVar[str] = "Made by Discomfort runs, in the place of a port. Not for workflows."
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (ANY,)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("value",)
    OUTPUT_IS_LIST: ClassVar[tuple[bool, ...]] = (True,)
    FUNCTION: ClassVar[str] = "load_data"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The inputs, and in the default of a hidden one what the client wants to know about this server."""
        text = ("STRING", {"default": ""})
        return {
            "required": {"run_id": text, "unique_id": text},
            "optional": {
                "blob": text,
                "codec": text,
                "digest": text,
                "storage": ("STRING", {"default": "ram"}),
                "contexts": ("STRING", {"default": "contexts"}),
                "memory": text,
                "text": text,
                "is_list": ("BOOLEAN", {"default": False}),
            },
            # Not UNIQUE_ID, which would put the node's id into its cache key.
            "hidden": {"prompt": "PROMPT", HANDSHAKE: ("DISCOMFORT", {"default": handshake().as_json()})},
        }

    def load_data(
        self,
        run_id: str,
        unique_id: str,
        codec: str = "",
        digest: str = "",
        text: str = "",
        is_list: bool = False,
        prompt: Mapping[str, Any] | None = None,
        **place: str,
    ) -> tuple[list[Any]]:
        """The value, or the items of a list output. Raises StateError, DamagedDataError, OSError."""
        if text:
            value = decode("json", text.encode("utf-8", "surrogatepass"))
        else:
            told = {"run_id": run_id, **place}
            places = [told] if told.get("blob") else [{**told, **each} for each in _in_meta(prompt, unique_id, digest)]
            value = _loaded([*places, {"storage": REMOTE, "blob": digest}], unique_id, codec)
        if isinstance(value, NodeList) or (is_list and isinstance(value, list)):
            return ([with_tensors(each) for each in value],)
        return ([with_tensors(value)],)


def _loaded(places: Sequence[Mapping[str, str]], unique_id: str, codec: str) -> Any:
    """The value at the first of these places that still has it. Raises StateError, DamagedDataError, OSError."""
    problem = StateError(f"the variable {unique_id!r} has no value: this node belongs to a Discomfort run")
    for told in places:
        place = ValuePlace(told.get("run_id", ""), told.get("contexts") or "contexts", told.get("memory") or "")
        storage = told.get("storage") or "ram"
        if storage == REMOTE and not is_remote_value(told["blob"]):
            continue
        try:
            return load_value(place, storage, told["blob"], codec)
        except StateError as error:
            problem = error
        except DamagedDataError as error:
            raise DamagedDataError(f"the variable {unique_id!r} cannot be loaded: {error.problem}") from error
    raise problem


def _in_meta(prompt: Mapping[str, Any] | None, unique_id: str, digest: str) -> Iterator[dict[str, str]]:
    """The places that loaders with these inputs have in their ``_meta``: each has, or had, the same value.

    Several have them if references come along, and older places may be gone.
    """
    for node in (prompt or {}).values():
        inputs = node.get("inputs") or {}
        if node.get("class_type") == LOADER and (inputs.get("unique_id"), inputs.get("digest")) == (unique_id, digest):
            meta = node.get("_meta")
            told = meta.get(HANDSHAKE) if isinstance(meta, dict) else None
            if isinstance(told, dict) and isinstance(told.get("blob"), str):
                yield {name: told[name] for name in _PLACE if isinstance(told.get(name), str)}
