"""Conditionings and the hooks that they carry."""
