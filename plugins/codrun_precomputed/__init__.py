"""Counterfactuals that somebody wrote before: a file of pairs as a generator."""
