"""Recipes as tests: what pytest loads of codrun, in every session on a machine that has both.

It stands outside ``cod_runner`` so that a session without a recipe imports nothing of codrun but a few small files.
"""
