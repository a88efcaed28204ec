"""Copies of a text with some words omitted: an augmentation, and what the arm `control` has in place of
counterfactuals."""
