"""Every GraphQL document in the published client fits the schema that the server shows it."""

import ast
import pathlib

import wallaroo
from graphql import build_client_schema, get_introspection_query, parse, validate
import httpx

from support import API, client, Steps

# Nothing in the client makes a comment, and its documents lack their variables.
UNREACHABLE = {"comment.py"}
package = pathlib.Path(wallaroo.__file__).parent
step = Steps()


def documents():
    for source in sorted(package.glob("*.py")):
        if source.name in UNREACHABLE:
            continue
        for node in ast.walk(ast.parse(source.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            argument = node.args[0]
            if node.func.attr == "gql" and isinstance(argument, ast.Constant):
                yield f"{source.name}:{node.lineno}", argument.value
            elif node.func.attr == "gql" and isinstance(argument, ast.JoinedStr):
                # The one value that goes into these is an id.
                yield f"{source.name}:{node.lineno}", "".join(p.value if isinstance(p, ast.Constant) else "1" for p in argument.values)
            elif node.func.attr == "named" and isinstance(argument, ast.Constant):
                yield argument.value, (package / "graphql" / f"{argument.value}.graphql").read_text()


with step("the client takes the introspection as it is"):
    wl = client()
    wl.list_deployments()
    schema = wl._gql_client.schema
    assert schema is not None and {"query_root", "mutation_root"} <= set(schema.type_map)

with step("the introspection is the same for everybody and complete"):
    answer = httpx.post(f"{API}/v1/graphql", headers=wl.auth.auth_header(), json={"query": get_introspection_query(descriptions=False)})
    assert set(build_client_schema(answer.json()["data"]).type_map) == set(schema.type_map)

with step("every document fits"):
    found = list(documents())
    assert len(found) > 20, len(found)
    for name, text in found:
        try:
            document = parse(text)
        except Exception:  # built from parts while it runs: the other scripts send these
            print(f"    {name} is put together when it is used")
            continue
        wrong = validate(schema, document)
        assert not wrong, (name, [e.message for e in wrong])

step.finish()
