"""Data sets: files, packages, the Hugging Face hub, and presets of the paper's."""
