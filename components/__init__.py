"""The Kubeflow components: one per file, each one call into shoplens. A stage's logic exists once, in src/shoplens."""
