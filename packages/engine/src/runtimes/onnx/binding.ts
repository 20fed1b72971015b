import './quiet.ts';
import { createRequire } from 'node:module';
import type { ElementType } from '@potoroo/contract/plain';

/** A tensor as ONNX Runtime's binding takes and gives it. Strings are JavaScript strings, float16 raw bits. */
export interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
  readonly location: 'cpu';
}

export interface TensorInfo {
  readonly name: string;
  /** Undefined: not a tensor, or of an element type that the binding does not offer; `typeName` says which. */
  readonly type: ElementType | undefined;
  readonly typeName: string;
  /** -1 where a dimension is free. */
  readonly dims: readonly number[];
  /** The names of free dimensions, '' where there is none. */
  readonly symbols: readonly string[];
}

export interface OrtSession {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  run(feeds: Record<string, OrtTensor>): Record<string, OrtTensor> | Promise<Record<string, OrtTensor>>;
  release(): void | Promise<void>;
}

interface NativeMetadata {
  name: string;
  isTensor: boolean;
  type: number;
  shape: readonly number[];
  symbolicDimensions: readonly string[];
}
interface NativeSession {
  loadModel(file: string, options: object): void;
  readonly inputMetadata: readonly NativeMetadata[];
  readonly outputMetadata: readonly NativeMetadata[];
  run(feeds: Record<string, OrtTensor>, fetches: Record<string, null>, options: object): Record<string, OrtTensor>;
  dispose(): void;
}
interface Native {
  initOrt(): void;
  binding: { InferenceSession: new () => NativeSession };
}
interface PublicMetadata {
  name: string;
  isTensor: boolean;
  type?: string;
  shape?: readonly (number | string)[];
}
interface PublicSession {
  readonly inputMetadata: readonly PublicMetadata[];
  readonly outputMetadata: readonly PublicMetadata[];
  run(feeds: Record<string, unknown>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}
interface Public {
  env: { logLevel: string };
  InferenceSession: { create(file: string, options: object): Promise<PublicSession> };
  Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
}

// ONNX's element type numbers. Those from 14 on are types that no array of JavaScript holds.
const typeNames = [
  'undefined', 'float32', 'uint8', 'int8', 'uint16', 'int16', 'int32', 'int64', 'string', 'bool', 'float16', 'float64', 'uint32', 'uint64',
  'complex64', 'complex128', 'bfloat16', 'float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'uint4', 'int4',
];
const offered = new Set(['float32', 'uint8', 'int8', 'uint16', 'int16', 'int32', 'int64', 'string', 'bool', 'float16', 'float64', 'uint32', 'uint64']);

function info(name: string, isTensor: boolean, typeName: string, dims: readonly number[], symbols: readonly string[]): TensorInfo {
  return { name, typeName: isTensor ? typeName : 'a sequence or map', type: isTensor && offered.has(typeName) ? (typeName as ElementType) : undefined, dims, symbols };
}

const require = createRequire(import.meta.url);

/**
 * The synchronous native call: `session.run` of the package's public side computes on the calling thread all the same, only
 * a turn of the event loop later. It is an internal path, so its shape is checked; undefined when it is not as expected.
 */
function native(): Native | undefined {
  try {
    const path = require.resolve('onnxruntime-node/dist/binding.js');
    const itsOwn = createRequire(path);
    (itsOwn('onnxruntime-common') as Public).env.logLevel = 'fatal'; // we report errors ourselves, to whom they concern
    const found = itsOwn(path) as Partial<Native>;
    const prototype = found.binding?.InferenceSession?.prototype as Partial<NativeSession> | undefined;
    if (typeof found.initOrt !== 'function' || typeof prototype?.loadModel !== 'function' || typeof prototype.run !== 'function') return undefined;
    found.initOrt();
    return found as Native;
  } catch {
    return undefined;
  }
}

/** Opens a model file. Throws ONNX Runtime's own error. */
export async function openSession(file: string, threads: number, allowNative = true): Promise<OrtSession> {
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all' };
  const direct = allowNative ? native() : undefined;
  if (direct !== undefined) {
    const session = new direct.binding.InferenceSession();
    session.loadModel(file, options);
    const read = (m: NativeMetadata): TensorInfo => info(m.name, m.isTensor, typeNames[m.type] ?? `type ${m.type}`, m.shape ?? [], m.symbolicDimensions ?? []);
    const outputs = session.outputMetadata.map(read);
    const fetches = Object.fromEntries(outputs.map((o) => [o.name, null]));
    return { inputs: session.inputMetadata.map(read), outputs, run: (feeds) => session.run(feeds, fetches, {}), release: () => session.dispose() };
  }
  const ort = require('onnxruntime-node') as Public;
  ort.env.logLevel = 'fatal';
  const session = await ort.InferenceSession.create(file, options);
  const read = (m: PublicMetadata): TensorInfo =>
    info(m.name, m.isTensor, m.type ?? '', (m.shape ?? []).map((d) => (typeof d === 'number' ? d : -1)), (m.shape ?? []).map((d) => (typeof d === 'string' ? d : '')));
  return {
    inputs: session.inputMetadata.map(read),
    outputs: session.outputMetadata.map(read),
    run: (feeds) => session.run(Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, new ort.Tensor(t.type, t.data, t.dims)]))),
    release: () => session.release(),
  };
}
