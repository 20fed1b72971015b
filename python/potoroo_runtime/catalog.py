"""`python -m potoroo_runtime.catalog`: what frameworks there are and what they need, as JSON. Needs no installed package."""

from __future__ import annotations

import json
import sys

from .framework import BASE, all_frameworks


def catalog() -> dict:
    return {
        "base": list(BASE),
        "frameworks": {
            name: {
                "requirements": list(framework.requirements), "guideRequirements": list(framework.guide_requirements), "archive": framework.archive,
                "converts": framework.convert is not None, "runtime": framework.runtime, "settings": framework.settings, "pythons": list(framework.pythons),
                "needsInputSchema": framework.needs_input_schema,
            }
            for name, framework in sorted(all_frameworks().items())
        },
    }


if __name__ == "__main__":
    json.dump(catalog(), sys.stdout)
