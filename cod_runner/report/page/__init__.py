"""The pages of a report: one file each, which loads nothing, works without its script, and can be printed."""
