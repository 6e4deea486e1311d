"""Inputs of samplers: noise levels, noise, sampling methods by name."""
