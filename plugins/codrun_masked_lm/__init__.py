"""Counterfactuals and copies of a text by a masked language model that fills gaps in it."""
