"""Choosers: which of an original's candidates goes into the training set."""
