"""The documented import path of :class:`Discomfort`."""

from discomfort.orchestration.orchestrator import Discomfort

__all__ = ["Discomfort"]
