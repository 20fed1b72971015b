"""Section 5 of the guide: users."""

import tempfile

from wallaroo.framework import Framework

from guide import because, cannot, client, example, os, prints, raises, re, same
import stock

wl = client()
wl.invite_user("testuser@ex.co", "a-good-password")


def fields(user) -> dict:
    """`User({"id": "..", "email": ".."` as fields; the client leaves a brace out at its end."""
    return {name: ("uuid" if name == "id" else "text") for name in re.findall(r'"(\w+)": "', repr(user))}


with example("list all users"):
    users = wl.list_users()
    assert isinstance(users, list) and re.match(r'\[User\(\{"id": ".*\), User\(', repr(users)), repr(users)
    prints(fields(users[0]), "id: uuid, email: text, username: text", user_enabled="enabled")

with example("get a user by email"):
    prints(fields(wl.get_user_by_email("testuser@ex.co")), "id: uuid, email: text, username: text", user_enabled="enabled")
    same(wl.get_user_by_email("testuser@ex.co").username(), "testuser@ex.co")
    same(wl.get_user_by_email("nobody@ex.co"), None)

with example("deactivate a user, and activate them again"):
    same(wl.deactivate_user("testuser@ex.co"), None)
    os.environ.update(WALLAROO_USER="testuser@ex.co", WALLAROO_PASSWORD="a-good-password", XDG_CACHE_HOME=tempfile.mkdtemp(dir="."))
    with raises(""):
        client().list_workspaces()
    same(wl.activate_user("testuser@ex.co"), None)
    same(client().auth.user_email(), "testuser@ex.co")
    with cannot("activate-user", "active_user", kind=AttributeError):
        wl.active_user("testuser@ex.co")

with example("a new user's first upload"):
    same(client().get_current_workspace().name(), "testuser@ex.co - Default Workspace")
    same(client().upload_model("first-model", stock.ccfraud(), framework=Framework.ONNX).status(), "ready")
    for number in range(5):
        wl.invite_user(f"colleague-{number}@ex.co", "a-good-password")
    assert len([u for u in wl.list_users() if u.enabled()]) > 5, "the guide's community licence ends at five"
    because("no-licence")

example.finish()
