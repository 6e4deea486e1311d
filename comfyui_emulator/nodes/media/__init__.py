"""Nodes for sound, video and 3D."""
