"""Nodes for latents that need no model: creation, changes, files."""
