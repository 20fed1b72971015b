"""The limit: the model called in a loop on rows that are there already. python_loop.py DIR MODEL ROWS SECONDS; prints calls a second, and a second of processor time."""
import json
import pickle
import sys
import time

import numpy as np
import pandas as pd
from step import wallaroo_json

folder, model, rows, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
if model == "step":
    call, data = wallaroo_json, pd.read_pickle(f"{folder}/step.{rows}.pandas")
else:
    with open(f"{folder}/{model}.pkl", "rb") as file:
        call = pickle.load(file).predict
    data = np.load(f"{folder}/{model}.{rows}.npy")
for _ in range(20):
    call(data)
start, cpu, calls = time.perf_counter(), time.process_time(), 0
while time.perf_counter() - start < seconds:
    call(data)
    calls += 1
print(json.dumps({"rate": calls / (time.perf_counter() - start), "perCpu": calls / (time.process_time() - cpu)}))
