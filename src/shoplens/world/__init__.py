"""The embedded demo marketplace, rendered from a seed."""
