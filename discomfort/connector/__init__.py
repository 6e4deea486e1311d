"""The connector: the only place that wires the parts together. :class:`ComfyConnector` is its public face."""

from discomfort.connector.connector import ComfyConnector

__all__ = ["ComfyConnector"]
