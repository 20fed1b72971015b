import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { containerEnv } from '../../hosts/container-env.ts';
import { errorCodes, FieldSchema, type ErrorCode, type Field, type ModelConfig, type PythonModel, type Reason } from '@potoroo/contract';

export type Finding = { ok: true; inputs: Field[]; outputs: Field[]; log: string[] } | { ok: false; reason: Reason; log: string[] };
/** Loads a model file once, somewhere it can do no harm, and says what it is. Never throws. */
export type Inspect = (file: string, framework: string, signal: AbortSignal, python?: InspectPython) => Promise<Finding>;
/** What a model that runs in a Python process needs beside its file. */
export interface InspectPython extends Pick<ModelConfig, 'inputSchema' | 'outputSchema'> { python: PythonModel; fileName: string }

/** What the child prints as its last line. */
const AnswerSchema = Type.Union([
  Type.Object({ ok: Type.Literal(true), inputs: Type.Array(FieldSchema), outputs: Type.Array(FieldSchema) }),
  Type.Object({ ok: Type.Literal(false), code: Type.String(), message: Type.String() }),
]);

const maxOutput = 4 * 1024 * 1024;
const maxLogLines = 500;
const maxLine = 4096;
const lastLines = 20;

/**
 * Inspects in a child process, `node <program> --file F --framework X`: the bytes come from a user. The child gets none of
 * this process' environment but what a program needs to start, and is killed when it takes too long.
 */
export function inspectInChild(program: string, timeoutMs: number): Inspect {
  return async (file, framework, signal, python) => {
    const child = spawn(process.execPath, [program, '--file', file, '--framework', framework, ...(python === undefined ? [] : ['--python', JSON.stringify(python)])], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: Object.fromEntries(['PATH', 'HOME', 'TMPDIR', 'LANG', ...containerEnv].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))),
    });
    const output = collect(child.stdout);
    const errors = collect(child.stderr);
    const done = new AbortController();
    const exited = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(`could not be started: ${error.message}`));
      child.once('close', (code, killedBy) => resolve(killedBy === null ? `exited with status ${code}` : `was ended by ${killedBy}`));
    }).finally(() => done.abort());
    const late = delay(timeoutMs, 'late' as const, { signal: AbortSignal.any([done.signal, signal]), ref: false }).catch(() => 'over' as const);
    const first = await Promise.race([exited, late]);
    if (first === 'late' || signal.aborted) child.kill('SIGKILL');
    const end = await exited;

    const log = [...lines(errors()), ...lines(output()).slice(0, -1)].slice(-maxLogLines).map((line) => (line.length > maxLine ? `${line.slice(0, maxLine)}…` : line));
    if (first === 'late') return { ok: false, log, reason: { code: 'model_invalid', message: `The model did not load within ${timeoutMs / 1000} seconds. Raise POTOROO_MODEL_LOAD_TIMEOUT if it needs longer.`, log: log.slice(-lastLines) } };
    const answer = parse(lines(output()).at(-1));
    if (answer === undefined) return { ok: false, log, reason: { code: 'model_invalid', message: `The model could not be loaded: the process that tried ${end}.`, log: log.slice(-lastLines) } };
    if (answer.ok) return { ok: true, inputs: answer.inputs, outputs: answer.outputs, log };
    const code: ErrorCode = answer.code in errorCodes ? (answer.code as ErrorCode) : 'model_invalid';
    return { ok: false, log, reason: { code, message: answer.message, log: log.slice(-lastLines) } };
  };
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    // The end matters: the answer is the last line.
    while (size > maxOutput && chunks.length > 1) size -= (chunks.shift() as Buffer).length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '');

function parse(line: string | undefined) {
  try {
    const value: unknown = JSON.parse(line ?? '');
    return Value.Check(AnswerSchema, value) ? value : undefined;
  } catch {
    return undefined;
  }
}
