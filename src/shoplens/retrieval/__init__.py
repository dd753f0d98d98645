"""Binary codes, and exact nearest neighbours among floats and codes."""
