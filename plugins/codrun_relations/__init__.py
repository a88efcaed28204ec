"""Relations between the tokens of a text, after MiniLM, as a plugin that touches nothing of the core."""
