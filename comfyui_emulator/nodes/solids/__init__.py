"""Nodes for three dimensions: voxels, meshes, splats, their files, cameras and viewers."""
