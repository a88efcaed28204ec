"""Counterfactuals that exist already: a file of pairs as a generator."""
