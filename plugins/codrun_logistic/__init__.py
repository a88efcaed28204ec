"""Theorem 1 in numbers: logistic regression with and without counterfactuals."""
