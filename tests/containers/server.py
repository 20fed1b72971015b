"""A server that speaks MLflow's scoring protocol as its environment says: BEHAVES is a name below."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

behaves = os.environ.get("BEHAVES", "well")
started = time.time()


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(503 if behaves == "never-ready" else 200, b"2.9.0\n" if self.path == "/version" else b"\n")

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        frame = request.get("dataframe_split")
        if frame is None:
            return self.answer(400, b'{"error_code": "BAD_REQUEST", "message": "only frames are taken", "stack_trace": "Traceback: secret path"}')
        x = [row[frame["columns"].index("x")] for row in frame["data"]]
        if any(v is not None and v < 0 for v in x):
            if behaves == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if behaves == "hangs":
                time.sleep(3600)
            if behaves == "refuses":
                return self.answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "negative", "stack_trace": "Traceback: secret path"}')
        if behaves == "slow":
            time.sleep(0.3)
        answers = {
            "other-names": [{"z": v} for v in x], "too-few": [{"y": 1.0}] * (len(x) + 1), "text": [{"y": "much"} for _ in x], "nothing": None, "lists": [{"y": [v, v]} for v in x],
        }
        predictions = answers.get(behaves, [{"y": None if v is None else 2 * v, "pid": float(os.getpid())} if behaves == "pid" else {"y": 2 * v} for v in x])
        self.answer(200, b"not json" if behaves == "nonsense" else json.dumps({"predictions": predictions}).encode())


if behaves == "exits":
    sys.exit("there is nothing to serve")
print("serving", behaves, flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Server).serve_forever()
