"""Named steps of a script, reported one by one."""

import contextlib
import json
import sys
import time
import traceback


class Steps:
    """Runs named steps in order. A failed one is reported and the next goes on, so that one run tells all."""

    def __init__(self):
        self.failed = []

    @contextlib.contextmanager
    def __call__(self, name: str):
        started = time.monotonic()
        error = None
        try:
            yield
        except Exception as thrown:  # noqa: BLE001
            error = f"{type(thrown).__name__}: {thrown}"
            traceback.print_exc()
        seconds = round(time.monotonic() - started, 2)
        if error:
            self.failed.append(name)
        print(json.dumps({"step": name, "ok": error is None, "seconds": seconds, **({"error": error} if error else {})}), flush=True)

    def finish(self):
        print(f"{len(self.failed)} failed", *self.failed, sep="\n  ", file=sys.stderr)
        sys.exit(1 if self.failed else 0)
