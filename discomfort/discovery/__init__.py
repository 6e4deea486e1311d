"""Decides which ComfyUI to start, with which Python and in which folders."""
