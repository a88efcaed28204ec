"""Selectors of our own: in which order the pool's rows become originals."""
