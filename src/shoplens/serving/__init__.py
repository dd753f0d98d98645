"""ONNX export, the Triton model repository, the embedded server, deploy and rollback."""
