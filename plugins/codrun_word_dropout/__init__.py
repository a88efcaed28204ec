"""Copies of a text with some words omitted: what the arm `control` has in place of counterfactuals."""
