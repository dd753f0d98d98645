"""What runs inside Triton: these files are copied into the model repository and import nothing of shoplens."""
