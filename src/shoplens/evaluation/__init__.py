"""Metrics, paired statistics, stars and tasks on the hold-out."""
