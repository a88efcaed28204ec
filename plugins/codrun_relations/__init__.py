"""Relations between the tokens of a text, after MiniLM: a loss between hidden states."""
