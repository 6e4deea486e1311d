"""Models that a run needs: which inputs name them, what the workflow says about them, and whether they are there.

An input takes what its list has, so the list decides whether a model is there; a folder's listing decides where an
input has no list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from discomfort._error_text import nearest
from discomfort._json import JsonObject
from discomfort.planning.constant_inputs import ConstantInput
from discomfort.planning.declared_models import DeclaredModel, base_name, is_contained, is_model_name
from discomfort.planning.file_search import is_file_input
from discomfort.planning.needs import ModelNeed
from discomfort.workflow.dynamic_inputs import input_specs, spec_settings, spec_type
from discomfort.workflow.model_folders import model_folder

EMBEDDINGS = "embeddings"
_EMBEDDING = re.compile(r"embedding:([^\s,():]+)")
_NEAR = 0.6

Listings = Mapping[str, Sequence[str]]
"""The files of each folder of models, as far as they were asked for."""


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A model that one input names. ``options`` is the list of the input, ``None`` if it has none that decides."""

    name: str
    place: str
    folder: str = ""
    options: tuple[str, ...] | None = None


def model_uses(
    inputs: Iterable[ConstantInput], definitions: Mapping[str, Any], declared: Sequence[DeclaredModel]
) -> Iterator[ModelUse]:
    """The models that inputs name, embeddings in texts included."""
    by_node: dict[str, set[str]] = {}
    for model in declared:
        by_node.setdefault(model.node_id, set()).add(model.base)
    for each in inputs:
        if isinstance(each.value, str):
            use = _use(each, by_node.get(each.node_id, set()))
            if use is not None:
                yield use
            elif "embedding:" in each.value and _encodes_text(definitions.get(each.class_type)):
                for name in dict.fromkeys(_EMBEDDING.findall(each.value)):
                    if is_contained(name):
                        yield ModelUse(name, each.place, EMBEDDINGS)


def is_model_input(each: ConstantInput) -> bool:
    """Whether an input chooses a model from a list, so that its value is not checked as any other."""
    if spec_type(each.spec) != "COMBO" or is_file_input(each):
        return False
    return is_model_name(each.value)


def widget_uses(node_id: str, node: JsonObject, declared: Sequence[DeclaredModel]) -> Iterator[ModelUse]:
    """The models that a node of an unknown class names: nothing tells its inputs, but the values are there."""
    values = node.get("widgets_values")
    texts = values.values() if isinstance(values, dict) else values if isinstance(values, list) else ()
    listed = {model.base for model in declared if model.node_id == node_id}
    for text in dict.fromkeys(text for text in texts if isinstance(text, str)):
        if is_model_name(text) or (base_name(text) in listed and is_contained(text)):
            yield ModelUse(text, node_id)


def folders_of(uses: Iterable[ModelUse], declared: Sequence[DeclaredModel]) -> set[str] | None:
    """The folders whose files decide about these models; ``None`` if all of them do."""
    known = {use.folder or _match(use, declared).folder for use in uses} | {model.folder for model in declared}
    undecided = any(not (use.folder or _match(use, declared).folder) and use.options is None for use in uses)
    return None if undecided else known - {""}


def model_needs(
    uses: Sequence[ModelUse], declared: Sequence[DeclaredModel], listings: Listings
) -> tuple[ModelNeed, ...]:
    """Every model that the workflow names, once for each folder and name; those that no input names come last."""
    found: dict[tuple[str, str], _Found] = {}
    matched: set[DeclaredModel] = set()
    for use in uses:
        facts = _match(use, declared)
        matched.update(model for model in declared if _is_same(model, use.name))
        folder = use.folder or facts.folder or _only_folder(use, listings)
        found.setdefault((folder, use.name), _Found(facts, [])).uses.append(use)
    needs = [_need(name, folder, each, listings) for (folder, name), each in found.items()]
    unused = [model for model in declared if model not in matched and model.source == "models"]
    known = {need.place for need in needs}
    for model in unused:
        need = _need(model.name, model.folder, _Found(model, []), listings)
        if need.place not in known:
            known.add(need.place)
            needs.append(need)
    return tuple(needs)


@dataclass(frozen=True, slots=True)
class _Found:
    facts: DeclaredModel
    uses: list[ModelUse] = field(default_factory=list)


def _use(each: ConstantInput, listed: set[str]) -> ModelUse | None:
    is_listed = base_name(each.value) in listed and is_contained(each.value)
    if spec_type(each.spec) != "COMBO":
        return ModelUse(each.value, each.place) if is_listed and is_model_name(each.value) else None
    if not (is_model_input(each) or (is_listed and not is_file_input(each))):
        return None
    folder = model_folder(each.class_type, each.name) or ""
    return ModelUse(each.value, each.place, folder.removeprefix("models/"), _options(each.spec))


def _options(spec: Any) -> tuple[str, ...] | None:
    settings = spec_settings(spec)
    options = spec[0] if isinstance(spec, list | tuple) and isinstance(spec[0], list) else settings.get("options")
    if not isinstance(options, list) or settings.get("remote"):
        return None
    return tuple(option for option in options if isinstance(option, str))


def _encodes_text(definition: Any) -> bool:
    return any(spec_type(spec) == "CLIP" for spec in input_specs(definition).values())


def _is_same(model: DeclaredModel, name: str) -> bool:
    base = base_name(name)
    return model.base == base or (model.folder == EMBEDDINGS and PurePosixPath(model.base).stem == base)


def _match(use: ModelUse, declared: Sequence[DeclaredModel]) -> DeclaredModel:
    """What is declared about the model: by its own node, for its own folder, with an address, in this order."""
    node_id = use.place.partition(".")[0]
    found = [model for model in declared if _is_same(model, use.name)]
    found.sort(key=lambda model: (model.node_id != node_id, model.folder != use.folder, model.url is None))
    return found[0] if found else DeclaredModel(use.name)


def _only_folder(use: ModelUse, listings: Listings) -> str:
    """The one folder that has a file of that name; empty if none or several have."""
    folders = [folder for folder, names in listings.items() if use.name in names]
    return folders[0] if len(folders) == 1 else ""


def _need(name: str, folder: str, found: _Found, listings: Listings) -> ModelNeed:
    listing = listings.get(folder) if folder else [each for names in listings.values() for each in names]
    options = [use.options for use in found.uses if use.options is not None]
    # An input whose list lacks it is refused, whatever the folder has.
    is_there = all(name in each for each in options) if options else _is_listed(name, folder, listing or ())
    known = list(dict.fromkeys([*(option for each in options for option in each), *(listing or ())]))
    same = [each for each in known if base_name(each) == base_name(name) and each != name]
    near = [] if is_there else [*same, *(each for each in nearest(name, known, cutoff=_NEAR) if each not in same)]
    facts = found.facts
    # An embedding's name in a text has no ending, the file has.
    file = facts.base if folder == EMBEDDINGS and facts.url is not None and not is_model_name(name) else name
    return ModelNeed(
        name=file,
        folder=folder,
        is_there=is_there,
        inputs=tuple(dict.fromkeys(use.place for use in found.uses)),
        url=facts.url,
        digest=facts.digest,
        near=tuple(near[:3]),
        source=facts.source if facts.url is not None else None,
    )


def _is_listed(name: str, folder: str, listing: Sequence[str]) -> bool:
    if folder == EMBEDDINGS:
        return any(name in (each, str(PurePosixPath(each).with_suffix(""))) for each in listing)
    return name in listing
