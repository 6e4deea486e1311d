"""Workflow JSON to API prompt, by the real frontend in a headless Chromium."""

from discomfort.conversion.cache import PromptCache, default_directory
from discomfort.conversion.converter import Converter
from discomfort.conversion.explanation import Explanation, NodeFate

__all__ = ["Converter", "Explanation", "NodeFate", "PromptCache", "default_directory"]
