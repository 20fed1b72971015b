/**
 * ONNX Runtime's own builds tell Microsoft of each process, session and model, through a database in the home folder that all
 * processes share. What runs here is its owner's business: it stays off unless the environment says otherwise. The library
 * reads this once, from the process (an assignment in a worker thread does not reach it), so it has to be set before.
 */
process.env['ORT_DISABLE_TELEMETRY'] ??= '1';
