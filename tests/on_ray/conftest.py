"""Clusters are started where somebody asks for them.

Ray gives its own processes 30 s to start. Beside the other tests that is too little, and a test that fails by chance
is worth nothing: ``make clusters`` runs these alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is in this folder, unless ``CLUSTERS=all``."""
    if os.environ.get("CLUSTERS") == "all":
        return
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason="starts Ray clusters: make clusters"))
