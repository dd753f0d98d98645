"""Losses, batches, the loop and its checkpoints."""
