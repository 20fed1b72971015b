"""The ways to sign in: the device flow with its page, personal access tokens; and inviting users."""

import json
import os
import pathlib
import tempfile

import httpx

from device import fill, sso
from support import API, client, raises, show, Steps

step = Steps()
folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"]))
email, password = os.environ["WALLAROO_USER"], os.environ["WALLAROO_PASSWORD"]


def sign_in():
    return client("sso")


with step("sign in by device"):
    wl, answers, _ = sso(sign_in, lambda address: fill(address, answer="allow", username=email, password=password))
    assert answers[0].status_code == 200 and "Signed in" in answers[0].text, answers[0].text
    assert wl.auth.user_email() == email
    assert show(wl.list_workspaces()) and wl.get_current_workspace().id()

with step("a wrong password first"):
    def twice(address):
        wrong = fill(address, answer="allow", username=email, password="not the password")
        assert wrong.status_code == 401 and "wrong" in wrong.text, wrong.text
        return fill(address, answer="allow", username=email, password=password)

    assert sso(sign_in, twice)[0].list_users()

with step("who refuses lets nobody in"):
    with raises("access_denied"):
        sso(sign_in, lambda address: fill(address, answer="deny"))

with step("a personal access token is a token"):
    created = httpx.post(f"{API}/api/v1/tokens", headers=wl.auth.auth_header(), json={"name": "script"}).json()
    (folder / "token.json").write_text(json.dumps({"token": created["token"], "user_email": email, "user_id": wl.auth.user_id()}))
    os.environ["WALLAROO_SDK_CREDENTIALS"] = str(folder / "token.json")
    script = client("token")
    assert [w.id() for w in script.list_workspaces()] == [w.id() for w in wl.list_workspaces()]
    assert script.get_current_workspace().id() == wl.get_current_workspace().id()
    assert script.create_workspace("made-by-a-script").name() == "made-by-a-script"

with step("until it is revoked"):
    assert httpx.delete(f"{API}/api/v1/tokens/{created['id']}", headers=wl.auth.auth_header()).status_code == 204
    with raises("token"):
        script.list_workspaces()
    del os.environ["WALLAROO_SDK_CREDENTIALS"]

with step("invite: the password is made and given once, and works"):
    invited = wl.invite_user("ivy@example.com")
    made = invited["password"] if isinstance(invited, dict) else invited.to_dict()["password"]
    os.environ.update(WALLAROO_USER="ivy@example.com", WALLAROO_PASSWORD=made, XDG_CACHE_HOME=tempfile.mkdtemp(dir=folder))
    ivy = client()
    assert ivy.get_current_workspace().name() == "ivy@example.com - Default Workspace"
    assert [u.email() for u in ivy.get_current_workspace().users()] == ["ivy@example.com"]
    assert wl.get_user_by_email("ivy@example.com").username() == "ivy@example.com"

with step("who is disabled is out at once, with what they hold"):
    token = httpx.post(f"{API}/api/v1/tokens", headers=ivy.auth.auth_header(), json={"name": "held"}).json()["token"]
    wl.deactivate_user("ivy@example.com")
    for bearer in (token, ivy.auth.auth_header()["Authorization"].removeprefix("Bearer ")):
        assert httpx.get(f"{API}/api/v1/me", headers={"Authorization": f"Bearer {bearer}"}).status_code == 401
    statuses = []

    def disabled(address):
        statuses.append(fill(address, answer="allow", username="ivy@example.com", password=made).status_code)
        return fill(address, answer="deny")

    with raises("access_denied"):
        sso(sign_in, disabled)
    assert statuses == [401]
    wl.activate_user("ivy@example.com")
    assert httpx.get(f"{API}/api/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200

with step("what an invitation refuses"):
    count = len(wl.list_users())
    wl.invite_user("ivy@example.com")  # the client itself leaves out who is there already
    assert len(wl.list_users()) == count
    for address in ("not an address", "a@b@c", ""):
        with raises("Failed to invite"):
            wl.invite_user(address)
    with raises("Failed to invite"):
        wl.invite_user("short@example.com", "short")

step.finish()
