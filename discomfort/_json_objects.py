"""JSON objects in memory: their type, and their copy. Standard library only, as ComfyUI's process needs it too."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]

_ATOMS = frozenset({str, int, float, bool, type(None)})


def copied(value: Any) -> Any:
    """A copy of a JSON value: new objects and lists at every depth (a tuple becomes a list), all else the same.

    Values of a caller are never shared with ours; this is the copy at that border. Ten times as fast as
    :func:`copy.deepcopy`. Raises ``RecursionError`` for a value that contains itself.
    """
    # Most values are atoms. A look at their class costs a third of a call.
    if isinstance(value, dict):
        return {key: each if each.__class__ in _ATOMS else copied(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [each if each.__class__ in _ATOMS else copied(each) for each in value]
    return value
