"""``WorkflowPlan``: what a workflow needs on one server before it can run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from discomfort._error_text import joined
from discomfort._json import JsonObject, copied
from discomfort.planning.needs import (
    FileNeed,
    FolderSpace,
    MemoryNeed,
    ModelNeed,
    PackNeed,
    PartnerNeed,
    ValueNeed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPlan:
    """What a workflow needs on one server. As text it has a line for each need; :meth:`to_json` has all facts.

    ``models`` has every model that the workflow names, those that are there too; ``packs``, ``files`` and ``values``
    have only what is missing or wrong, ``partners`` each node that costs money. ``problems`` are reasons of other kinds
    for which a run would fail. ``spaces`` are the folders in which missing models belong. ``path`` is what converts the
    workflow: ``browser``, ``cache`` or ``native``; ``None`` for a prompt, or if it cannot be converted. ``unknown``
    says what the plan cannot tell, and why.

    ``name`` is the file's, empty for an object; ``server`` describes the server that was asked.
    """

    name: str = ""
    server: str = ""
    models: tuple[ModelNeed, ...] = ()
    packs: tuple[PackNeed, ...] = ()
    files: tuple[FileNeed, ...] = ()
    values: tuple[ValueNeed, ...] = ()
    partners: tuple[PartnerNeed, ...] = ()
    problems: tuple[str, ...] = ()
    spaces: tuple[FolderSpace, ...] = ()
    memory: MemoryNeed | None = None
    path: str | None = None
    unknown: tuple[str, ...] = ()
    prompt: JsonObject | None = field(default=None, repr=False)
    """The prompt, as far as it could be made: a node of an unknown class has ``None`` as ``class_type``."""

    @property
    def missing_models(self) -> tuple[ModelNeed, ...]:
        """The models that a run needs and that are not there."""
        return tuple(model for model in self.models if model.is_missing)

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing: no model, pack, file, wrong value, key, disk space, or other problem.

        Partner nodes with a key do not count: :meth:`ComfyConnector.run` still needs ``allow_paid=True`` for them.
        """
        return not self.lacks

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is missing, each kind in a few words, such as ``2 models``."""
        counts = [
            (len(self.missing_models), "model"),
            (len(self.packs), "node pack"),
            (len(self.files), "input file"),
            (len(self.values), "wrong value"),
            (sum(not partner.has_key for partner in self.partners), "key for a paid node"),
            (sum(space.is_short for space in self.spaces), "disk without room"),
            (len(self.problems), "other problem"),
        ]
        return tuple(_counted(number, what) for number, what in counts if number)

    def to_json(self) -> JsonObject:
        """The plan as values for JSON; the prompt is left out. Contains no key."""
        facts: JsonObject = {
            "workflow": self.name,
            "server": self.server,
            "ready": self.is_ready,
            "path": self.path,
            "models": [{**_facts(model), "is_missing": model.is_missing} for model in self.models],
            "packs": [{**_facts(pack), "install": pack.install, "remedy": pack.remedy} for pack in self.packs],
            "files": [_facts(each) for each in self.files],
            "values": [_facts(each) for each in self.values],
            "partners": [_facts(each) for each in self.partners],
            "problems": list(self.problems),
            "spaces": [{**_facts(space), "is_short": space.is_short} for space in self.spaces],
            "memory": None if self.memory is None else _facts(self.memory),
            "unknown": list(self.unknown),
        }
        shown: JsonObject = copied(facts)
        return shown

    def __str__(self) -> str:
        return "\n".join([self._headline(), *self._lines()])

    def _headline(self) -> str:
        what = self.name or "the workflow"
        where = f" on {self.server}" if self.server else ""
        return f"{what}{where}: " + ("ready" if self.is_ready else f"not ready, missing: {', '.join(self.lacks)}")

    def _lines(self) -> Iterator[str]:
        yield from _section("missing models", [_model_line(model) for model in self.missing_models])
        yield from _section("missing node packs", [_pack_line(pack) for pack in self.packs])
        yield from _section("missing input files", [_file_line(each) for each in self.files])
        yield from _section("values that the server refuses", [value_line(each) for each in self.values])
        yield from _section("other problems", self.problems)
        yield from _section(
            "nodes that cost money (allow_paid=True runs them)", [_paid(each) for each in self.partners]
        )
        yield from _section("disk", [_space_line(space) for space in self.spaces])
        if self.memory is not None:
            yield f"memory: {_memory_line(self.memory)}"
        present = [model for model in self.models if model.is_there]
        yield from _section("models that are there", [model.place for model in present])
        unused = [model for model in self.models if not model.is_there and not model.is_missing]
        yield from _section("named, but not used by a run", [model.place for model in unused])
        if self.path is not None:
            yield f"converted by: {self.path}"
        yield from _section("not known", self.unknown)


def size_text(count: int) -> str:
    """A number of bytes for people, such as ``6.9 GB``; models are listed in decimal units everywhere."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def _facts(need: Any) -> JsonObject:
    return asdict(need)


def _counted(number: int, what: str) -> str:
    if what == "disk without room":
        return "room on the disk"
    plural = {"key for a paid node": "keys for paid nodes"}.get(what, f"{what}s")
    return f"{number} {what if number == 1 else plural}"


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"{title}:"
        # Names come from workflows: a line break in one must not look like a line of the plan.
        yield from (f"  {' '.join(line.split())}" for line in lines)


def _model_line(model: ModelNeed) -> str:
    at = f" (node {joined(model.inputs, ', ', 3)})"
    facts = [] if model.size is None else [size_text(model.size)]
    facts += [] if model.digest is None else [str(model.digest)]
    facts += ["gated: accept its licence at the host, and give a token"] if model.is_gated else []
    facts += [model.url] if model.url is not None else ["no URL is known"]
    facts += [f"similar: {joined(model.near, ', ', 3)}"] if model.near else []
    return f"{model.place}{at}: {'; '.join(facts)}"


def _pack_line(pack: PackNeed) -> str:
    name = pack.pack_id or pack.repository or "unknown pack"
    version = f" {pack.version}" if pack.version else ""
    nodes = f" (node {joined(pack.node_ids, ', ', 5)})" if pack.node_ids else ""
    failed = f"; it did not load: {pack.import_error}" if pack.import_error is not None else ""
    more = f"; also in {joined(pack.candidates, ', ', 3)}" if pack.candidates else ""
    return f"{name}{version}: {joined(pack.class_types, ', ')}{nodes}{failed}; {pack.remedy}{more}"


def _file_line(need: FileNeed) -> str:
    near = f"; similar: {joined(need.near, ', ', 3)}" if need.near else ""
    return f"{need.name} (node {need.input}){near}"


def value_line(need: ValueNeed) -> str:
    """A wrong value as a line of a plan: its place, a colon, what is wrong, and the nearest value that is right."""
    nearest = "" if need.nearest is None else f"; nearest: {_shortened(need.nearest)!r}"
    return f"{'input' if need.is_named else 'node'} {need.input}: {need.problem}{nearest}"


def _shortened(value: object) -> object:
    return value if isinstance(value, int | float) else str(value)[:200]


def _paid(need: PartnerNeed) -> str:
    return f"node {need.node_id} {need.class_type}" + ("" if need.has_key else ": there is no key (api_key=…)")


def _space_line(space: FolderSpace) -> str:
    needed = [size_text(space.needed)] if space.needed or not space.unsized else []
    needed += [f"{_counted(space.unsized, 'model')} of unknown size"] if space.unsized else []
    free = "unknown" if space.free is None else size_text(space.free)
    where = f" ({space.path})" if space.path else ""
    return f"{space.folder}{where}: needs {' and '.join(needed)}; free: {free}"


def _memory_line(memory: MemoryNeed) -> str:
    unsized = f", {_counted(memory.unsized, 'model')} of unknown size" if memory.unsized else ""
    total = [] if memory.device_total is None else [f"{memory.device} has {size_text(memory.device_total)}"]
    total += [] if memory.ram_total is None else [f"the machine has {size_text(memory.ram_total)}"]
    return "; ".join([f"the models have {size_text(memory.weights)}{unsized}", *total])
