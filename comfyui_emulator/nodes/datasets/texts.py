"""Nodes that change texts of a dataset, and group latents by size.

As in ComfyUI, a node for single texts returns a list of one text as a plain value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Entry, integer, link, node, text
from comfyui_emulator.nodes.wording import stacked

_DATASET: dict[str, Any] = {"module": "comfy_extras.nodes_dataset", "v3": True, "EXPERIMENTAL": True}
_TEXT: dict[str, Any] = _DATASET | {"names": "texts", "lists": [None], "category": "text"}
_TEXTS: dict[str, Entry] = {"texts": text(multiline=False)}
_WORD = text(default="", multiline=False)


def _declare(
    name: str, title: str, change: Callable[..., str], inputs: dict[str, Entry] | None = None, *, old: bool = True
) -> None:
    def run(texts: str, **options: Any) -> tuple[list[str]]:
        return ([change(texts, **options)],)

    run.__doc__ = change.__doc__
    flags: dict[str, Any] = {"DEPRECATED": True} if old else {}
    declared = _TEXTS | (inputs or {})
    node(name, declared, "STRING", title=title, **flags, **_TEXT)(run)


def truncate(texts: str, max_length: int) -> str:
    """The first characters."""
    return texts[:max_length]


def prepend(texts: str, prefix: str) -> str:
    """The text after another."""
    return prefix + texts


def append(texts: str, suffix: str) -> str:
    """The text before another."""
    return texts + suffix


def replace(texts: str, find: str, replace: str) -> str:
    """The text with one word for another."""
    return texts.replace(find, replace)


_declare("TextToLowercase", "Convert Text to Lowercase (DEPRECATED)", lambda texts: texts.lower())
_declare("TextToUppercase", "Convert Text to Uppercase (DEPRECATED)", lambda texts: texts.upper())
_declare("TruncateText", "Truncate Text", truncate, {"max_length": integer(77, 1, 10000)}, old=False)
_declare("AddTextPrefix", "Add Text Prefix (DEPRECATED)", prepend, {"prefix": _WORD})
_declare("AddTextSuffix", "Add Text Suffix (DEPRECATED)", append, {"suffix": _WORD})
_declare("ReplaceText", "Replace Text (DEPRECATED)", replace, {"find": _WORD, "replace": _WORD})
_declare("StripWhitespace", "Strip Whitespace (DEPRECATED)", lambda texts: texts.strip())


@node(
    "MergeTextLists",
    _TEXTS,
    "STRING",
    title="Merge Text Lists (DEPRECATED)",
    INPUT_IS_LIST=True,
    DEPRECATED=True,
    **_TEXT,
)
def merge_texts(texts: Sequence[str]) -> tuple[list[Sequence[str]]]:
    """The list, in a list, as a plain value."""
    return ([texts],)


@node(
    "ResolutionBucket",
    {"latents": link("LATENT"), "conditioning": link("CONDITIONING")},
    "LATENT CONDITIONING",
    names="latents conditioning",
    lists=[True, True],
    title="Resolution Bucket",
    category="model/training",
    INPUT_IS_LIST=True,
    **_DATASET,
)
def bucket(latents: Sequence[Any], conditioning: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Latents and their conditionings, those of equal height and width together."""
    if len(latents) != len(conditioning):
        raise ValueError(
            f"Number of latents ({len(latents)}) does not match number of conditions ({len(conditioning)})."
        )
    groups: dict[tuple[int, int], tuple[list[Any], list[Any]]] = {}
    for latent, conditions in zip(latents, conditioning, strict=True):
        for index in range(latent["samples"].shape[0]):
            sample, condition = latent["samples"][index], conditions[index]
            group = groups.setdefault((sample.shape[-2], sample.shape[-1]), ([], []))
            group[0].append(sample)
            group[1].append(condition)
    return (
        [{"samples": stacked([np.asarray(sample) for sample in samples])} for samples, _ in groups.values()],
        [conditions for _, conditions in groups.values()],
    )
