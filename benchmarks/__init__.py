"""Every speed claim as a ratio, measured in one run against what a user would pick instead."""
