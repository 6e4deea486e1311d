"""The documented import path of :class:`WorkflowContext`."""

from discomfort.context.context import WorkflowContext

__all__ = ["WorkflowContext"]
