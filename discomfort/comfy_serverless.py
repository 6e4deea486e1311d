"""The documented import path of :class:`ComfyConnector`."""

from discomfort.connector import ComfyConnector

__all__ = ["ComfyConnector"]
