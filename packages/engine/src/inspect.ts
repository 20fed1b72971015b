import { parseArgs } from 'node:util';
import { isPotorooError } from '@potoroo/contract/plain';
import { readOnnxHeader } from './runtimes/onnx/header.ts';
import { loadHere, type ModelFile } from './runtimes/load.ts';

/**
 * `node inspect.js --file X --framework onnx [--tensor-fields a,b] [--python JSON]`: loads an uploaded file once in a process of its own and
 * prints one JSON line: `{ok:true, inputs, outputs, warmUpMs, mergeable, notes, format}` or `{ok:false, code, message}`.
 * Untrusted bytes are read here and never in ops. Exits 0 in both cases; anything else is a crash.
 * `--python` is for models that run in a Python process: `{python, fileName, inputSchema, outputSchema}` as in a bundle; what such a
 * model prints goes to stderr.
 */
async function inspect(): Promise<object> {
  try {
    const { values } = parseArgs({ options: { file: { type: 'string' }, framework: { type: 'string' }, 'tensor-fields': { type: 'string' }, python: { type: 'string' } } });
    if (values.file === undefined || values.framework === undefined) return { ok: false, code: 'invalid_request', message: 'Give --file and --framework.' };
    const names = values['tensor-fields']?.split(',');
    const python = values.python === undefined ? undefined : (JSON.parse(values.python) as Pick<ModelFile, 'python' | 'fileName' | 'inputSchema' | 'outputSchema'>);
    const onLog = (_: string, line: string): void => { process.stderr.write(`${line}\n`); };
    const runtime = await loadHere({ file: values.file, framework: values.framework, ...(names && { tensorFields: names }), ...python, onLog }, 1);
    const { inputs, outputs, warmUpMs, mergeable, notes } = runtime.describe();
    const format = values.framework === 'onnx' ? await readOnnxHeader(values.file) : {};
    await runtime.unload();
    return { ok: true, inputs, outputs, warmUpMs, mergeable, notes, format };
  } catch (error) {
    if (isPotorooError(error)) return { ok: false, code: error.code, message: error.message };
    return { ok: false, code: 'internal', message: error instanceof Error ? error.message : 'The file could not be inspected.' };
  }
}

process.stdout.write(`${JSON.stringify(await inspect())}\n`);
