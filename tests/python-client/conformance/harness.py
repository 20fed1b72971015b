"""Runs the checks of the checklist: watches which of the client's methods each called, what it displayed and how every request was answered."""

import collections
import functools
import importlib
import inspect
import json
import pkgutil

import httpx
import wallaroo
from wallaroo.client import Client
from wallaroo.connection import Connection
from wallaroo.deployment import Deployment
from wallaroo.model import Model
from wallaroo.model_config import ModelConfig
from wallaroo.model_version import ModelVersion
from wallaroo.pipeline import Pipeline, Pipelines
from wallaroo.pipeline_version import PipelineVersion, PipelineVersionList
from wallaroo.tag import Tag
from wallaroo.workspace import Workspace

from support import Steps, raises  # noqa: F401

WATCHED = (Client, Workspace, Model, ModelVersion, ModelConfig, Pipeline, Pipelines, PipelineVersion, PipelineVersionList, Deployment, Tag, Connection)
# What other suites display.
ELSEWHERE = {"assay", "assay_config", "edge", "model_registry", "orchestration", "pipeline_publish", "task", "task_run"}
# Calls no step of a pipeline, or of kinds that the client cannot make.
NEVER_SHOWN = {"SidekickPodLogs", "SidekickPodsHistory"}

rows = {}
errors = {}
called = set()
shown = set()
# (method, path, status, what was asked), as the client's three transports send them.
answers = []


def row(name, also=(), may=()):
    """The check of a row. `also` are the statuses beside 2xx that it has to see, such as the 404 that ends an undeployment, `may` those that it can see."""
    return _register(rows, name, also, may)


def error(name):
    return _register(errors, name)


def _register(table, name, also=(), may=()):
    def add(check):
        assert name not in table, f"{name} has two checks"
        table[name] = (check, also, may)
        return check

    return add


def show(thing):
    """Everything that prints an object: text, a console, a notebook. These cause the client's deep reads."""
    shown.update(c.__name__ for c in type(thing).__mro__)
    assert repr(thing) and str(thing)
    html = thing._repr_html_() if hasattr(thing, "_repr_html_") else ""
    assert "object at 0x" not in html, html
    return html or repr(thing)


def _watch_methods():
    for owner in WATCHED:
        inherited = {"_rehydrate": owner._rehydrate} if hasattr(owner, "_rehydrate") else {}
        for name, value in {**inherited, **vars(owner)}.items():
            kind = type(value) if isinstance(value, (staticmethod, property)) else None
            function = value.fget if kind is property else value.__func__ if kind is staticmethod else value
            if not inspect.isfunction(function):
                continue
            setattr(owner, name, _noting(f"{owner.__name__}.{name}", function, kind))


def _noting(name, function, kind):
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def noted(*args, **options):
            called.add(name)
            return await function(*args, **options)
    else:

        @functools.wraps(function)
        def noted(*args, **options):
            called.add(name)
            return function(*args, **options)

    return noted if kind is None else kind(noted)


def _watch_wire():
    def note(response):
        path = response.request.url.path
        # The server's streams are read by who asked for them.
        wrong = path.endswith("/graphql") and response.is_stream_consumed and '"errors"' in response.text[:20]
        answers.append((response.request.method, path, "GraphQL error" if wrong else response.status_code))
        return response

    send, send_async = httpx.Client.send, httpx.AsyncClient.send
    httpx.Client.send = lambda self, *args, **options: note(send(self, *args, **options))

    async def noted(self, *args, **options):
        return note(await send_async(self, *args, **options))

    httpx.AsyncClient.send = noted


def displayable():
    """Every class of the package that a notebook can show, but those of other suites."""
    found = set()
    for module in pkgutil.iter_modules(wallaroo.__path__):
        if module.ispkg or module.name in ELSEWHERE:
            continue
        loaded = importlib.import_module(f"wallaroo.{module.name}")
        found |= {n for n, c in vars(loaded).items() if inspect.isclass(c) and c.__module__ == loaded.__name__ and "_repr_html_" in vars(c)}
    return found - NEVER_SHOWN


def _unexpected(seen, also):
    return [a for a in seen if not (isinstance(a[2], int) and 200 <= a[2] < 300) and a[2] not in also]


def run(world, methods, cases):
    """Every check in turn; `methods` and `cases` are the checklist."""
    step = Steps()
    with step("every row has a check and every check a row"):
        assert set(rows) == set(methods), set(rows) ^ set(methods)
        assert set(errors) == set(cases), set(errors) ^ set(cases)
    _watch_methods()
    _watch_wire()
    requests = collections.Counter()
    for name, (check, also, may) in rows.items():
        wanted = methods.get(name, "")
        called.clear()
        answers.clear()
        with step(name):
            check(world)
            missing = set(wanted.split()) - called
            assert not missing, f"never called: {sorted(missing)}"
            wrong = _unexpected(answers, (*also, *may))
            assert not wrong, f"answered with neither 2xx nor {also}: {wrong}"
            unseen = [s for s in also if s not in [a[2] for a in answers]]
            assert not unseen, f"no request was answered {unseen}"
        requests.update((m, _route(p), s) for m, p, s in answers)
    with step("every kind of object was displayed"):
        assert not displayable() - shown, displayable() - shown
    for name, (check, *_) in errors.items():
        answers.clear()
        with step(f"error: {name}"):
            check(world)
            broken = [a for a in answers if isinstance(a[2], int) and a[2] >= 500]
            assert not broken, f"errors of the server: {broken}"
        requests.update((m, _route(p), s) for m, p, s in answers)
    print(json.dumps({"requests": sorted(([*key, count] for key, count in requests.items()), key=str)}))
    step.finish()


def _route(path):
    return "/".join("…" if any(c.isdigit() for c in part) and part not in ("v1", "v2") else part for part in path.split("/"))
