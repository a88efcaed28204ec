"""The command line: `main` for the shell, `call` for tests and other programs."""

from cod_runner.cli.program import call, main

__all__ = ["call", "main"]
