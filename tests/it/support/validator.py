"""Validates instances against the schemas of docs/schemas, with Debian's python3-jsonschema.

Standard input: a JSON array of [schema, instance], the schema as a path below the folder that is the first argument.
Standard output: a JSON array with, for each, the array of its faults in words, each with the place in the instance.
"""

import json
import pathlib
import sys

from jsonschema import Draft202012Validator, RefResolver

folder = pathlib.Path(sys.argv[1])
schemas = {str(path.relative_to(folder)): json.loads(path.read_text()) for path in folder.rglob("*.json")}
store = {schema["$id"]: schema for schema in schemas.values()}


def validator(schema):
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, resolver=RefResolver(schema["$id"], schema, store=store))


validators = {name: validator(schema) for name, schema in schemas.items()}
faults = [
    [f"{error.json_path}: {error.message[:300]}" for error in validators[name].iter_errors(instance)]
    for name, instance in json.load(sys.stdin)
]
json.dump(faults, sys.stdout)
