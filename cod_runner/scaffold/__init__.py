"""What `codrun new` writes: a recipe for a data file, or a plugin package, to start from."""
