"""Retraining on merge: whether to, what came of it, and who is told. Workflows call it through `shoplens ci ...`."""
