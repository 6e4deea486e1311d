"""Reads a sidecar: what people write beside a workflow to name, document, bound and hide its inputs and outputs.

A sidecar has two keys, each with entries by name::

    inputs:
      prompt: Positive prompt.text              # only the target: NODE.INPUT, by title, class or id
      scale: {target: Upscale.scale, minimum: 1, maximum: 4, description: How much larger}
      seed: {targets: [First.seed, Second.seed], hidden: true}
      steps: {description: More are slower}     # without a target: what another source has named ``steps``
    outputs:
      picture: Save Image                       # a node, by title, class or id
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from discomfort._error_text import nearest
from discomfort.workflow.interface.declarations import InputTarget, InterfaceOutput, InterfaceProblem, Parameter
from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.interface.selector_targets import SelectorTargets
from discomfort.workflow.interface.sidecar_checks import checked_facts
from discomfort.workflow.interface.source_entries import InputEntry, OutputEntry, SourceEntries
from discomfort.workflow.json_values import describe

_SECTIONS = ("inputs", "outputs")
_INPUT_KEYS = (
    "target", "targets", "port", "type", "default", "minimum", "maximum", "step", "choices", "label", "description",
    "hidden", "multiline", "required",
)  # fmt: skip
_OUTPUT_KEYS = ("node", "port", "type", "label", "description")
_RENAMED = {"hidden": "is_hidden", "multiline": "is_multiline"}
_KINDS: Mapping[str, tuple[type, ...]] = {
    "type": (str,), "label": (str,), "description": (str,), "port": (str,), "node": (str, int), "target": (str,),
    "minimum": (int, float), "maximum": (int, float), "step": (int, float), "choices": (list, tuple),
    "targets": (list, tuple), "hidden": (bool,), "multiline": (bool,), "required": (bool,),
}  # fmt: skip

_WORDS_OF = {(int, float): "a number", (list, tuple): "a list", (bool,): "true or false"}
_OTHER_WORDS: Mapping[str, str] = {
    "selector": "target", "input": "target", "widget": "target", "node": "target", "target": "node",
    "value": "default", "min": "minimum", "max": "maximum",
    "options": "choices", "values": "choices", "enum": "choices", "title": "label", "name": "label",
    "help": "description", "tooltip": "description", "doc": "description", "optional": "required",
}  # fmt: skip
"""Words of others for the keys of an entry."""


def sidecar_entries(sidecar: Mapping[str, Any], lower: Interface, known: SelectorTargets) -> SourceEntries:
    """What a sidecar declares over ``lower``, the interface of all other sources; ``known`` looks up its selectors."""
    return _Sidecar(lower, known).read(sidecar)


class _Sidecar:
    def __init__(self, lower: Interface, known: SelectorTargets) -> None:
        self._lower, self._known = lower, known
        self._found = SourceEntries()

    def read(self, sidecar: Mapping[str, Any]) -> SourceEntries:
        self._unknown("the sidecar", sidecar, _SECTIONS)
        for name, given in self._section(sidecar, "inputs"):
            fields = self._fields(
                f"input {name!r}", {"target": given} if isinstance(given, str) else given, _INPUT_KEYS
            )
            if fields is not None:
                self._input(name, fields)
        for name, given in self._section(sidecar, "outputs"):
            is_short = isinstance(given, str | int) and not isinstance(given, bool)
            fields = self._fields(f"output {name!r}", {"node": given} if is_short else given, _OUTPUT_KEYS)
            if fields is not None:
                self._output(name, fields)
        return self._found

    def _section(self, sidecar: Mapping[str, Any], section: str) -> Iterator[tuple[str, Any]]:
        given = sidecar.get(section)
        if isinstance(given, Mapping):
            yield from ((str(name), each) for name, each in given.items())
        elif given is not None:
            self._problem(f"{section!r}", f"it is {describe(given)}", "write entries by name")

    def _fields(self, entry: str, given: Any, known: tuple[str, ...]) -> dict[str, Any] | None:
        """The known fields of an entry that have a value of the right kind."""
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self._problem(entry, f"it is {describe(given)}", f"write a {known[0]} or an object")
            return None
        self._unknown(entry, given, known)
        fields = {}
        for key in (key for key in known if key in given):
            value, kinds = given[key], _KINDS.get(key)
            is_right = kinds is None or isinstance(value, kinds)
            if not is_right or (isinstance(value, bool) and kinds is not None and bool not in kinds):
                self._problem(entry, f"{key!r} is {describe(value)}", f"write {_WORDS_OF.get(kinds or (), 'a text')}")
            else:
                fields[key] = value
        return fields

    def _unknown(self, entry: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in (str(key) for key in given if key not in known):
            other = _OTHER_WORDS.get(key.casefold())
            near = [other] if other in known else nearest(key, known, cutoff=0.5)
            remedy = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(known)}"
            self._problem(entry, f"the key {key!r} is not known", remedy)

    def _input(self, name: str, fields: dict[str, Any]) -> None:
        entry = f"input {name!r}"
        selectors = [*([fields.pop("target")] if "target" in fields else []), *fields.pop("targets", ())]
        port = fields.pop("port", None)
        if port is not None and selectors:
            self._problem(entry, f"it has a target, and the port {port!r}", "leave one of them out")
            return
        targets = self._targets(entry, selectors)
        under = self._port(port) if port is not None else None if selectors else self._lower.inputs.get(name)
        if under is None and not targets:
            if port is not None:
                self._missing(entry, f"no port {port!r}", port, [each.port for each in self._lower.inputs.values()])
            elif not selectors:
                self._missing(entry, f"no target, and no other source names {name!r}", name, list(self._lower.inputs))
            return
        targets = under.targets if under is not None else targets
        lower = _facts_of(under) if under is not None else {}
        given = self._checked(entry, fields, lower or self._known.facts(targets[0]), targets)
        self._found.inputs.append(
            InputEntry(
                source="sidecar", entry=entry, names=(name,), is_exact=True,
                is_required=bool(given.pop("required", False)), targets=targets,
                port=under.port if under else None,
                given=lower | {_RENAMED.get(key, key): value for key, value in given.items()},
            )
        )  # fmt: skip

    def _targets(self, entry: str, selectors: Sequence[Any]) -> tuple[InputTarget, ...]:
        """The inputs that the selectors name, each once."""
        targets: dict[InputTarget, None] = {}
        for selector in selectors:
            if not isinstance(selector, str):
                self._problem(entry, f"'targets' has {describe(selector)}", "write texts: NODE.INPUT")
                continue
            found = self._known.inputs(selector)
            if isinstance(found, InterfaceProblem):
                self._problem(entry, found.problem, found.remedy)
            else:
                targets |= dict.fromkeys(found)
        return tuple(targets)

    def _checked(
        self, entry: str, fields: Mapping[str, Any], known: Mapping[str, Any], targets: Sequence[InputTarget]
    ) -> dict[str, Any]:
        fed = [(str(target), self._known.spec(target)) for target in targets]
        # A port has the facts of what it feeds.
        choices, bounds = known.get("choices"), {"min": known.get("minimum"), "max": known.get("maximum")}
        fed = fed or [("it", [list(choices) if choices else known.get("type"), bounds])]

        def report(problem: str, remedy: str) -> None:
            self._problem(entry, problem, remedy)

        return checked_facts(fields, known, fed, report)

    def _port(self, port: str) -> Parameter | None:
        return next((each for each in self._lower.inputs.values() if each.port == port), None)

    def _output(self, name: str, fields: dict[str, Any]) -> None:
        entry, port, selector = f"output {name!r}", fields.pop("port", None), fields.pop("node", None)
        outputs = self._lower.outputs
        if port is not None and selector is not None:
            self._problem(entry, f"it has a node, and the port {port!r}", "leave one of them out")
            return
        if selector is not None:
            found = self._known.output_node(str(selector))
            if isinstance(found, InterfaceProblem):
                self._problem(entry, found.problem, found.remedy)
                return
            under, node_id = self._of_node(found), found
        else:
            under = outputs.get(name) if port is None else next((o for o in outputs.values() if o.port == port), None)
            if under is None:
                known = list(outputs) if port is None else [each.port for each in outputs.values()]
                what = "no node, and no other source has such an output" if port is None else f"no port {port!r}"
                self._missing(entry, what, port or name, known)
                return
            node_id = under.node_id
        given = {"type": under.type, "label": under.label, "description": under.description} if under else {}
        self._found.outputs.append(
            OutputEntry(
                source="sidecar", entry=entry, names=(name,), is_exact=True, node_id=node_id,
                port=under.port if under else None, given=given | fields,
            )
        )  # fmt: skip

    def _of_node(self, node_id: str) -> InterfaceOutput | None:
        return next((each for each in self._lower.outputs.values() if each.node_id == node_id), None)

    def _missing(self, entry: str, what: str, wanted: str, known: Sequence[str | None]) -> None:
        near = nearest(wanted, [each for each in known if each], cutoff=0.5)[:3]
        self._problem(entry, f"it has {what}", f"did you mean {' or '.join(map(repr, near))}?" if near else "")

    def _problem(self, entry: str, problem: str, remedy: str = "") -> None:
        self._found.problems.append(InterfaceProblem("sidecar", entry, problem, remedy))


def _facts_of(under: Parameter) -> dict[str, Any]:
    """What the sidecar keeps of the parameter that it renames or bounds."""
    keys = (
        "type", "default", "minimum", "maximum", "step", "choices", "upload", "label", "description", "is_hidden",
        "is_multiline",
    )  # fmt: skip
    return {key: getattr(under, key) for key in keys}
