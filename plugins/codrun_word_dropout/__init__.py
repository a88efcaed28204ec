"""Copies of a text with some words left out: what the arm `control` sets against counterfactuals."""
