"""Nodes that make inputs of samplers: noise levels, noise, sampling methods by name."""
