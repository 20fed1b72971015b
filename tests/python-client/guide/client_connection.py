"""Section 1 of the guide: connecting a client."""

import json
import os
import re

import wallaroo

from guide import API, because, cannot, example, same
from device import fill, sso

user, password = os.environ["WALLAROO_USER"], os.environ["WALLAROO_PASSWORD"]
greeting = r"\n?Please log into the following URL in a web browser:\n\n\t?\s*http\S+/auth/realms/master/device\?user_code=[A-Z]{4}-[A-Z]{4}\s+Login successful!\n?"


def allow(address):
    return fill(address, answer="allow", username=user, password=password)


with example("connect from within"):
    with cannot("client-without-arguments", "auth_type", kind=ValueError):
        wallaroo.Client()
    os.environ["WALLAROO_SDK_AUTH_TYPE"] = "sso"
    wl, _, printed = sso(lambda: wallaroo.Client(), allow)
    assert re.fullmatch(greeting, printed.getvalue()), repr(printed.getvalue())
    assert wl.list_workspaces()
    del os.environ["WALLAROO_SDK_AUTH_TYPE"]

with example("connect from outside, through the browser"):
    with cannot("auth-endpoint", "auth_endpoint", kind=TypeError):
        wallaroo.Client(api_endpoint=API, auth_endpoint=API, auth_type="sso")
    wl, _, printed = sso(lambda: wallaroo.Client(api_endpoint=API, auth_type="sso"), allow)
    assert re.fullmatch(greeting, printed.getvalue()), repr(printed.getvalue())
    same(wl.auth.user_email(), user)
    from wallaroo.object import EntityNotFoundError  # the guide's import goes with it

with example("credentials in a file"):
    del os.environ["WALLAROO_USER"], os.environ["WALLAROO_PASSWORD"]
    with open("creds.json", "w") as file:
        json.dump({"username": user, "password": password, "email": user}, file)
    os.environ["WALLAROO_SDK_CREDENTIALS"] = "creds.json"
    wl = wallaroo.Client(auth_type="user_password")
    same(wl.auth.user_email(), user)
    with cannot("auth-endpoint", "auth_endpoint", kind=TypeError):
        wallaroo.Client(api_endpoint=API, auth_endpoint=API, auth_type="user_password")
    same(wallaroo.Client(api_endpoint=API, auth_type="user_password").auth.user_email(), user)
    del os.environ["WALLAROO_SDK_CREDENTIALS"]

with example("credentials in the environment"):
    os.environ["WALLAROO_USER"] = user
    os.environ["WALLAROO_PASSWORD"] = password
    wl = wallaroo.Client(auth_type="user_password")
    same(wl.auth.user_email(), user)

with example("a longer time to wait for a deployment"):
    with cannot("client-without-arguments", "auth_type", kind=ValueError):
        wallaroo.Client(request_timeout=120)
    wl = wallaroo.Client(auth_type="user_password", request_timeout=120)
    same(wl.timeout, 120)

example.finish()
