"""Sound, moving pictures, 3D."""
