"""What `codrun new` writes: a recipe for a data file, or a plugin package, to start from."""

from cod_runner.scaffold.new_plugin import new_plugin
from cod_runner.scaffold.new_recipe import new_recipe, write_recipe
from cod_runner.scaffold.schema_file import refresh_schema, schema_text, write_schema
from cod_runner.scaffold.wishes import Wishes

__all__ = ["Wishes", "new_plugin", "new_recipe", "refresh_schema", "schema_text", "write_recipe", "write_schema"]
