"""What `codrun new` writes: a recipe for a data file, or a plugin package, to start from."""

from cod_runner.scaffold.new_plugin import new_plugin
from cod_runner.scaffold.new_recipe import new_recipe, write_recipe

__all__ = ["new_plugin", "new_recipe", "write_recipe"]
