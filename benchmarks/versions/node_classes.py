"""Definitions of node classes: which came and went, and what changed of their inputs and outputs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.versions.drift_report import DIFFERS, SAME, Finding, compared, of_tables

COSMETIC = {
    "tooltip", "display_name", "display", "advanced", "socketless", "rawLink", "multiselect", "dynamicPrompts",
    "gradient_stops", "options", "lazy", "hidden",
}  # fmt: skip
"""Options of an input that no prompt depends on; ``options`` is shown as its choices."""
TEXTS = ("category", "display_name", "description")
OWN_PACKS = ("parity", "trap_nodes")
"""Beginnings of the modules of packs that the comparison brings."""


def compare(a: dict[str, Any], b: dict[str, Any]) -> dict[str, list[Finding]]:
    """Both servers' ``/object_info``: first the definitions as a whole, then class by class."""
    ours, theirs = (of_server(definitions) for definitions in (a, b))
    whole = [compared(name, overview(ours)[name], overview(theirs)[name]) for name in overview(ours)]
    common = ours.keys() & theirs.keys()
    for text in TEXTS:
        changed = sum(ours[name].get(text) != theirs[name].get(text) for name in common)
        details = (f"{changed} changed",) if changed else ()
        whole.append(Finding(f"{text} of the common classes", DIFFERS if changed else SAME, details))
    tables = ({name: summary(about) for name, about in side.items()} for side in (ours, theirs))
    return {"node definitions": whole, "node classes": of_tables(*tables)}


def of_server(definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions without those of the comparison's own packs."""
    modules = {name: str(about.get("python_module", "")).rpartition(".")[2] for name, about in definitions.items()}
    return {name: definitions[name] for name in sorted(definitions) if not modules[name].startswith(OWN_PACKS)}


def overview(definitions: dict[str, Any]) -> dict[str, Any]:
    """What can be said of all definitions together."""
    keys: dict[str, set[str]] = {"older": set(), "newer": set()}
    for about in definitions.values():
        keys[dialect(about)] |= about.keys()
    summaries = [summary(about) for about in definitions.values()]
    types = {given["type"] for made in summaries for given in made["inputs"].values()}
    return {
        "classes": len(definitions),
        "dialects": dict(sorted(Counter(dialect(about) for about in definitions.values()).items())),
        "keys of a class in the older dialect": sorted(keys["older"]),
        "keys of a class in the newer dialect": sorted(keys["newer"]),
        "types of inputs": sorted(types),
        "types of outputs": sorted({kind for made in summaries for kind, _, _ in made["outputs"]}),
        "options of inputs": sorted({key for made in summaries for given in made["inputs"].values() for key in given}),
    }


def dialect(about: dict[str, Any]) -> str:
    """The dialect of a definition: the newer one always has the key ``api_node`` and writes ``COMBO`` as a type."""
    return "newer" if "api_node" in about and "output_tooltips" in about else "older"


def summary(about: dict[str, Any]) -> dict[str, Any]:
    """What prompts depend on in a definition."""
    outputs = about["output"]
    names = about.get("output_name") or outputs
    lists = about.get("output_is_list") or [False] * len(outputs)
    inputs = {
        name: {"kept as": section} | given(spec)
        for section in ("required", "optional")
        for name, spec in (about["input"].get(section) or {}).items()
    }
    return {
        "dialect": dialect(about),
        "output_node": about["output_node"],
        "deprecated": bool(about.get("deprecated")),
        "inputs": inputs,
        "outputs": [[str(kind) if isinstance(kind, str) else "COMBO", *rest]
                    for kind, *rest in zip(outputs, names, lists, strict=False)],
    }  # fmt: skip


def given(spec: Any) -> dict[str, Any]:
    """One input: its type, the choices of a combo in either dialect, and its options."""
    kind, *rest = spec if isinstance(spec, list) else [spec]
    options = dict(rest[0]) if rest and isinstance(rest[0], dict) else {}
    kept = {key: value for key, value in options.items() if key not in COSMETIC and value not in (None, False)}
    if isinstance(kind, list):
        return {"type": "COMBO", "choices": kind} | kept
    choices = options.get("options")
    return {"type": kind} | ({} if choices is None else {"choices": choices}) | kept
