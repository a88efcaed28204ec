"""A language model as a teacher, in process: the log-probabilities of the labels' words after a prompt."""
