"""Latents: creation, changes, files; all that needs no model."""
