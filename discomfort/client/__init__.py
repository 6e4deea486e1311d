"""Talking to a ComfyUI server: HTTP, one WebSocket for many runs, and the outputs of a run."""

from discomfort.client.comfy import ComfyClient
from discomfort.client.outputs import Output, collect_outputs
from discomfort.client.rest import RestClient
from discomfort.client.runs import Limits

__all__ = ["ComfyClient", "Limits", "Output", "RestClient", "collect_outputs"]
