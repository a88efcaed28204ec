"""What ``benchmarks/engine.py`` compares: one file for each way to train a student, and the work they share."""
