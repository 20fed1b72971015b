"""Signing in by device: what a person with a browser does while the client waits."""

import contextlib
import html.parser
import io
import os
import re
import tempfile
import threading

import httpx


class Form(html.parser.HTMLParser):
    """The fields of a page's form, as a browser sends them."""

    def __init__(self, page):
        super().__init__()
        self.fields = {}
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "input" and "name" in given:
            self.fields[given["name"]] = given.get("value", "")


def fill(address, **fields):
    """Opens the page in a browser of its own and sends its form."""
    with httpx.Client() as browser:
        page = browser.get(address)
        assert page.status_code == 200, page.text
        return browser.post(address, data={**Form(page.text).fields, **fields})


class Printed(io.StringIO):
    """Standard output in which an address is waited for."""

    def __init__(self):
        super().__init__()
        self.address = None
        self.came = threading.Event()

    def write(self, text):
        found = re.search(r"http://\S+user_code=\S+", text)
        if found:
            self.address = found.group(0)
            self.came.set()
        return super().write(text)


def sso(make, act):
    """What `make` makes while `act` does what a user does with the printed address; then the results of `act`, and what was printed."""
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"])
    printed, results = Printed(), []

    def person():
        if printed.came.wait(20):
            results.append(act(printed.address))

    thread = threading.Thread(target=person)
    thread.start()
    try:
        with contextlib.redirect_stdout(printed):
            return make(), results, printed
    finally:
        thread.join()
