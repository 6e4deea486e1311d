"""Transport of values between this program and a server: through files that both see, or not at all yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from discomfort.exceptions import ServerError
from discomfort.orchestration.handshake import read_handshake
from discomfort.workflow.compilation import Sink
from discomfort.workflow.workflow_ports import PORT


@dataclass(frozen=True, slots=True)
class Transport:
    """What a server offers for the values of ports.

    ``obstacle`` says why values cannot go through shared files, empty if they can; ``sees_memory`` whether those may
    be in memory. ``has_port`` and ``has_preview`` say which nodes can end a prompt.
    """

    obstacle: str = ""
    sees_memory: bool = False
    has_port: bool = False
    has_preview: bool = False

    def reference_sink(self, unique_id: str) -> Sink | None:
        """A node that has the server make an object that stays there; ``None`` if there is none."""
        if self.has_port:
            return Sink(PORT, {"unique_id": unique_id})
        return Sink("PreviewAny", name="source") if self.has_preview else None


def transport_of(definitions: Mapping[str, Any], *, is_attached: bool) -> Transport:
    """What the definitions of a server say."""
    try:
        told = read_handshake(definitions, is_ours=not is_attached)
        obstacle = ""
    except ServerError as error:
        told, obstacle = None, str(error)
    if is_attached:
        obstacle = "it is attached, and was not started by this program"
    elif told is None:
        obstacle = obstacle or "it was started without our nodes; end it, and start it with Discomfort.create()"
    elif "disk" not in told.sees:
        obstacle = "its nodes do not see the folder of contexts; the server's log says why"
    return Transport(
        obstacle=obstacle,
        sees_memory=told is not None and "ram" in told.sees,
        has_port=told is not None and PORT in definitions,
        has_preview="PreviewAny" in definitions,
    )
