"""Reading a contract folder: splits, galleries, near duplicates, caches."""
