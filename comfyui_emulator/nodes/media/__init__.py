"""Sound, video and 3D."""
