"""Conditionings and what they carry."""
