"""Mixtures of a training text with texts of the pool, after MixKD."""
