"""The environment of a conversion: the frontend and everything that the server provides for it. Pure.

ComfyUI has no version number or entity tag for its node definitions, so they are compared by digest. Lists of files
(models, uploads) change often and rarely matter: the frontend takes a widget's value from the workflow, and uses the
list only if the workflow has no value. So they are left out of the digest under which conversions are stored, and
results that may contain a value from such a list are marked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from discomfort.conversion.native.rules import FILE_NAME, ValueLimits
from discomfort.workflow.json_values import is_link
from discomfort.workflow.port_definition import DIGEST, has_port
from discomfort.workflow.subgraphs import find_node
from discomfort.workflow.workflow_ports import PORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from discomfort._json import JsonObject

_ELIDED: Final = "\0files"


@dataclass(frozen=True, slots=True)
class Environment:
    """What the server provides for a conversion at one moment.

    ``digest`` stands for frontend, extensions, settings and node definitions without lists of files; ``lists`` for the
    node definitions with everything. ``files`` names the inputs that choose from a list of files, by class; ``limits``
    has what other inputs allow, by class and name. ``remotes`` are the paths (no leading ``/`` or ``api/``) that inputs
    fetch their choices from. ``foreign``: the page runs scripts that are not the frontend's own. ``has_port``: the
    server defines ports; otherwise the page gets our definition.
    """

    digest: str
    lists: str
    files: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False, compare=False)
    limits: Mapping[str, Mapping[str, ValueLimits]] = field(default_factory=dict, repr=False, compare=False)
    remotes: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    foreign: bool = field(default=False, compare=False)
    has_port: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, parts: Mapping[str, bytes], object_info: bytes) -> Environment:
        """The environment from the server's answers: ``parts`` by name, and the body of ``/object_info``.

        Raises ``ValueError`` if the latter is not a JSON object.
        """
        definitions = orjson.loads(object_info)
        if not isinstance(definitions, dict):
            raise ValueError("the node definitions are not a JSON object")  # noqa: TRY004 - wrong data, not a wrong call
        files = {name: found for name, info in definitions.items() if (found := frozenset(_elide_files(info)))}
        hashed = hashlib.sha256()
        for name, body in sorted(parts.items()):
            hashed.update(f"{name}\0{len(body)}\0".encode() + body)
        # In the server's order, which the frontend uses when it registers nodes.
        hashed.update(orjson.dumps(definitions))
        limits = {name: dict(_limits(info)) for name, info in definitions.items()}
        remotes = frozenset(path for info in definitions.values() for path in _remotes(info))
        foreign = any("extensions/" in name for name in parts)
        return cls(
            hashed.hexdigest(),
            hashlib.sha256(object_info).hexdigest(),
            files,
            limits,
            remotes,
            foreign,
            PORT in definitions,
        )

    def key(self, text: str) -> str:
        """The key under which the prompt of the workflow ``text`` (JSON) is stored."""
        if not self.has_port and has_port(text):
            # The page has our definition of it then.
            text = DIGEST + text
        return hashlib.sha256(f"{self.digest}\0".encode() + text.encode("utf-8", "surrogatepass")).hexdigest()

    def depends_on_file_lists(self, workflow: JsonObject, output: JsonObject) -> bool:
        """Whether some value in the prompt may have come from a list of files and not from the workflow.

        True unless each such value is in the workflow's own node, so also if it came from a primitive or a promoted
        widget.
        """
        for node_id, node in output.items():
            kind = node.get("class_type")
            names = self.files.get(kind, frozenset()) if isinstance(kind, str) else frozenset()
            for name, value in node["inputs"].items():
                if name in names and not is_link(value) and not _gives(find_node(workflow, node_id), value):
                    return True
        return False


def _gives(node: JsonObject | None, value: Any) -> bool:
    values = node.get("widgets_values") if node else None
    if isinstance(values, dict):
        values = list(values.values())
    return isinstance(values, list) and any(type(each) is type(value) and each == value for each in values)


def _inputs(info: Any) -> Iterator[tuple[str, list[Any], JsonObject]]:
    """Name, specification and options of each input of one class's definition."""
    inputs = info.get("input") if isinstance(info, dict) else None
    for group in inputs.values() if isinstance(inputs, dict) else ():
        for name, spec in group.items() if isinstance(group, dict) else ():
            if isinstance(spec, list) and spec:
                yield name, spec, spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}


def _elide_files(info: Any) -> Iterator[str]:
    """Take lists of files out of one class's definition; yields the names of its inputs that had one."""
    for name, spec, options in _inputs(info):
        if isinstance(spec[0], list) and _is_files(spec[0], options):
            spec[0] = _ELIDED
            yield name
        elif isinstance(options.get("options"), list) and _is_files(options["options"], options):
            options["options"] = _ELIDED
            yield name


def _limits(info: Any) -> Iterator[tuple[str, ValueLimits]]:
    """What the inputs of a class allow whose lists of files were elided."""
    for name, spec, options in _inputs(info):
        given = spec[0] if isinstance(spec[0], list) else options.get("options")
        if isinstance(given, list):
            yield name, ValueLimits(frozenset(each for each in given if isinstance(each, str | int | float)))
        elif any(isinstance(options.get(key), int | float) for key in ("min", "max")):
            yield name, ValueLimits(None, *(_number(options.get(key)) for key in ("min", "max", "step")))


def _remotes(info: Any) -> Iterator[str]:
    """The paths that the inputs of a class fetch their choices from, as ``{"remote": {"route": "/pack/list"}}``.

    Addresses of other servers do not count: the page does not reach them.
    """
    for _, _, options in _inputs(info):
        remote = options.get("remote")
        route = remote.get("route") if isinstance(remote, dict) else None
        if isinstance(route, str) and route.startswith("/"):
            yield route.partition("?")[0].lstrip("/").removeprefix("api/")


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_files(choices: list[Any], options: JsonObject) -> bool:
    """Whether a combo's choices are names of files: empty, or some have an extension, or files can be added to them."""
    if not choices or any(key.endswith("_upload") and value for key, value in options.items()):
        return True
    return any(isinstance(choice, str) and FILE_NAME.search(choice) for choice in choices)
