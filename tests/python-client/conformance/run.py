"""Walks the checklist with the published client; the order of these imports is the order of the checks."""

import harness
from checklist import ERRORS, ROWS
from world import World

import people  # noqa: F401
import model_rows  # noqa: F401
import pipeline_rows  # noqa: F401
import deployment_rows  # noqa: F401
import tag_rows  # noqa: F401
import plain_calls  # noqa: F401
import error_cases  # noqa: F401

harness.run(World(), ROWS, ERRORS)
