"""The documented import path of :class:`WorkflowTools`."""

from discomfort.orchestration.tools import WorkflowTools

__all__ = ["WorkflowTools"]
