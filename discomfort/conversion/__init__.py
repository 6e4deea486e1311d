"""Workflow JSON to API prompt, by the real frontend in a headless Chromium."""

from discomfort.conversion.cache import PromptCache, default_directory
from discomfort.conversion.converter import Converter

__all__ = ["Converter", "PromptCache", "default_directory"]
