"""Selectors: in which order the pool's rows become originals."""
