"""What data must look like: dataset.yaml, tables, photos and the checks over them."""
