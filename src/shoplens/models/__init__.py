"""Backbones, the gallery encoder, task heads and their bundle on disk."""
