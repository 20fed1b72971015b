"""Signing in, users and workspaces."""

import json
import os

import httpx
import wallaroo
from wallaroo.user import User
from wallaroo.workspace import Workspace

from harness import row, show
from support import API, client
from world import EMAIL, ONNX, sign_in


@row("client: construct")
def construct(w):
    w.wl = client()
    assert w.wl.auth.user_email() == EMAIL and w.wl.auth.user_id()
    # With a slash at the end, from the environment, and with what the server would be asked for.
    assert client().api_endpoint == API
    os.environ.update(WALLAROO_URL=API + "/", WALLAROO_SDK_AUTH_TYPE="user_password")
    by_environment = wallaroo.Client(interactive=False)
    del os.environ["WALLAROO_URL"], os.environ["WALLAROO_SDK_AUTH_TYPE"]
    assert by_environment.auth.user_id() == w.wl.auth.user_id() and by_environment.list_workspaces()
    assert wallaroo.Client(api_endpoint=API, auth_type="user_password", config={"default_arch": "x86"}).list_users()
    # A token alone.
    path = w.folder / "token.json"
    path.write_text(json.dumps({"token": w.wl.auth._access_token().token, "user_email": EMAIL, "user_id": w.wl.auth.user_id()}))
    os.environ["WALLAROO_SDK_CREDENTIALS"] = str(path)
    assert client("token").get_current_workspace().name() == f"{EMAIL} - Default Workspace"
    del os.environ["WALLAROO_SDK_CREDENTIALS"]


@row("client: urls and transports")
def transports(w):
    assert wallaroo.Client.get_urls("sso", "http://a") == ("sso", "http://a")
    config = httpx.get(f"{API}/v1/api/config").json()
    assert config["default_arch"] in ("x86", "arm")
    assert w.wl.httpx_client.get("v1/api/config").json() == config
    assert str(w.wl.mlops().get_httpx_client().base_url).startswith(API)


@row("client: create workspace")
def create_workspace(w):
    w.workspace = w.wl.create_workspace("conformance")
    assert isinstance(w.workspace.id(), int) and w.workspace.name() == "conformance"
    assert w.workspace.created_by() == w.wl.auth.user_id() and w.workspace.archived() is False
    assert "conformance" in show(w.workspace)
    w.other = w.wl.create_workspace("conformance")
    assert w.other.id() != w.workspace.id(), "names are not unique"


@row("client: list workspaces")
def list_workspaces(w):
    listed = w.wl.list_workspaces()
    ids = [found.id() for found in listed]
    assert ids == sorted(ids) and len(set(ids)) == len(ids), "oldest first, each once"
    assert [found.name() for found in listed].count("conformance") == 2
    assert "conformance" in show(listed) and EMAIL in show(listed)
    assert all(found.models() == [] and found.pipelines() == [] for found in listed if found.name() == "conformance")


@row("client: get workspace")
def get_workspace(w):
    made = w.wl.get_workspace("asked-for", create_if_not_exist=True)
    assert w.wl.get_workspace("asked-for").id() == made.id() == w.wl.get_workspace("asked-for", create_if_not_exist=True).id()


@row("client: get current workspace")
def get_current_workspace(w):
    fresh = client()
    assert fresh.get_current_workspace().name() == f"{EMAIL} - Default Workspace"
    assert fresh.get_current_workspace() is fresh.get_current_workspace()
    # What the client does for a user who has none.
    assert Workspace._create_user_default_workspace(fresh).id() == fresh.get_current_workspace().id()


@row("client: set current workspace")
def set_current_workspace(w):
    assert w.wl.set_current_workspace(w.workspace).id() == w.workspace.id() == w.wl.get_current_workspace().id()
    # What is made from now on is made there.
    pipeline = w.wl.build_pipeline("where-is-it")
    assert pipeline.workspace().id() == w.workspace.id()
    assert [p.id() for p in w.workspace.pipelines()] == [pipeline.id()] and w.other.pipelines() == []


@row("client: invite user")
def invite_user(w):
    invited = w.wl.invite_user("member@example.com", "a-good-password")
    assert invited["email"] == invited["username"] == "member@example.com" and invited["enabled"] is True
    w.member = sign_in("member@example.com", "a-good-password")
    assert w.member.auth.user_id() == invited["id"]
    assert w.wl.invite_user("member@example.com")["id"] == invited["id"], "who is there is not invited again"
    made = w.wl.invite_user("stranger@example.com")["password"]
    w.stranger = sign_in("stranger@example.com", made)
    assert w.stranger.get_current_workspace().name() == "stranger@example.com - Default Workspace"


@row("client: list users")
def list_users(w):
    users = {u.email(): u for u in w.wl.list_users()}
    assert {EMAIL, "member@example.com", "stranger@example.com"} <= set(users)
    assert users[EMAIL].id() == w.wl.auth.user_id() and users[EMAIL].enabled() is True
    assert "member@example.com" in show(users["member@example.com"])


@row("client: get user by email")
def get_user_by_email(w):
    user = w.wl.get_user_by_email("member@example.com")
    assert (user.id(), user.username(), user.enabled()) == (w.member.auth.user_id(), "member@example.com", True)
    assert w.wl.get_user_by_email("nobody@example.com") is None
    assert w.wl.get_user_by_email("plus+sign@example.com") is None


@row("client: get email by id")
def get_email_by_id(w):
    for wl in (w.wl, w.member):
        assert w.stranger.get_email_by_id(wl.auth.user_id()) == wl.auth.user_email()


@row("client: activate and deactivate user", also=(401,))
def activate_and_deactivate(w):
    before = w.wl.httpx_client.get(f"auth/admin/realms/master/users/{w.stranger.auth.user_id()}").json()
    assert w.wl.deactivate_user("stranger@example.com") is None
    assert w.wl.get_user_by_email("stranger@example.com").enabled() is False
    assert w.stranger.httpx_client.post("v1/api/workspaces/list", json={}).status_code == 401, "out at once"
    assert w.wl.activate_user("stranger@example.com") is None
    assert w.stranger.httpx_client.post("v1/api/workspaces/list", json={}).status_code == 200
    assert w.wl.httpx_client.get(f"auth/admin/realms/master/users/{w.stranger.auth.user_id()}").json() == before


@row("workspace: read by id")
def read_workspace(w):
    read = Workspace(w.wl, {"id": w.workspace.id()})
    listed = next(found for found in w.wl.list_workspaces() if found.id() == w.workspace.id())
    for field in ("name", "archived", "created_by"):
        assert getattr(read, field)() == getattr(listed, field)(), field
    assert read.created_at()[:19] == listed.created_at()[:19]
    assert set(read.to_json()) == {"name", "id", "archived", "created_by", "created_at", "models", "pipelines"}


@row("workspace: users")
def workspace_users(w):
    (user,) = w.workspace.users()
    assert isinstance(user, User) and user.email() == EMAIL


@row("workspace: add user and owner")
def add_users(w):
    assert w.workspace.add_user("member@example.com").id() == w.workspace.id()
    assert {u.email() for u in w.workspace.users()} == {EMAIL, "member@example.com"}
    assert w.workspace.id() in [found.id() for found in w.member.list_workspaces()]
    roles = {u["user_id"]: u["user_type"] for u in w.wl.httpx_client.post("v1/api/workspaces/list_users", json={"workspace_id": w.workspace.id()}).json()["users"]}
    assert roles == {w.wl.auth.user_id(): "OWNER", w.member.auth.user_id(): "COLLABORATOR"}
    w.workspace.add_owner("member@example.com")
    roles = {u["user_id"]: u["user_type"] for u in w.wl.httpx_client.post("v1/api/workspaces/list_users", json={"workspace_id": w.workspace.id()}).json()["users"]}
    assert roles[w.member.auth.user_id()] == "OWNER"
    # An owner may let others in.
    Workspace(w.member, {"id": w.workspace.id()}).add_user("stranger@example.com")
    assert len(w.workspace.users()) == 3


@row("workspace: remove user")
def remove_user(w):
    w.workspace.remove_user("stranger@example.com")
    assert {u.email() for u in w.workspace.users()} == {EMAIL, "member@example.com"}
    assert w.workspace.id() not in [found.id() for found in w.stranger.list_workspaces()]
    # Oneself, which leaves the client in its user's default workspace.
    left = Workspace(w.member, {"id": w.workspace.id()})
    left.remove_user("member@example.com")
    assert left.id() == w.member.get_current_workspace().id()
    w.workspace._rehydrate()
    assert [u.email() for u in w.workspace.users()] == [EMAIL]
    w.workspace.add_user("member@example.com")


@row("workspace: models and pipelines")
def workspace_contents(w):
    tidy = w.wl.create_workspace("what-is-in-it")
    here = client()
    here.set_current_workspace(tidy)
    assert tidy.models() == [] and tidy.pipelines() == []
    one = here.upload_model("in-it", w.files["first"].path, framework=ONNX)
    pipeline = here.build_pipeline("in-it")
    (model,) = tidy.models()
    assert model.name() == "in-it" and [v.id() for v in model.versions()] == [one.id()]
    assert [p.name() for p in tidy.pipelines()] == ["in-it"] and tidy.pipelines()[0].id() == pipeline.id()
    assert show(tidy.models()[0]) and show(tidy)
