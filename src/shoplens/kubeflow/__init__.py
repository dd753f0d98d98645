"""Kubeflow: what a component runs, and the command line that compiles the graph and runs it."""
