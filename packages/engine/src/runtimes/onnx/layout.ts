import { PotorooError, type Field } from '@potoroo/contract/plain';
import type { TensorInfo } from './binding.ts';

/** How a model's tensors relate to rows. */
export interface Layout {
  /** Rows one run takes: any number, or exactly this many. */
  rows: 'free' | number;
  /** Row shapes of the inputs, under the names requests use. */
  inputs: Field[];
  /** By input: whether its first dimension is the batch's. A rank 0 input has none, so each row runs alone. */
  batched: boolean[];
  /** By output: its first dimension is the batch's for certain, is not, or only a run can tell. */
  aligned: ('yes' | 'no' | 'see')[];
}

function supported(side: 'Input' | 'Output', t: TensorInfo): NonNullable<TensorInfo['type']> {
  if (t.type !== undefined) return t.type;
  const fix = t.typeName.startsWith('a sequence') ? "Export it with tensors only (skl2onnx: options={'zipmap': False})" : 'Export it with another element type, such as float32';
  throw new PotorooError('model_unsupported', `${side} '${t.name}' is ${t.typeName}, which this runtime cannot pass on. ${fix}.`);
}

/** The names requests use: `tensorFields` where given, else the model's own. */
function inputNames(inputs: readonly TensorInfo[], tensorFields: readonly string[] | undefined): readonly string[] {
  const own = inputs.map((i) => i.name);
  if (tensorFields === undefined) return own;
  if (tensorFields.length !== own.length) {
    throw new PotorooError('model_invalid', `tensor_fields has ${tensorFields.length} names but the model has ${own.length} inputs (${own.join(', ')}). Give one name for each, in this order.`);
  }
  if (new Set(tensorFields).size !== tensorFields.length) throw new PotorooError('model_invalid', `tensor_fields names an input twice (${tensorFields.join(', ')}). Give each input a name of its own.`);
  return tensorFields;
}

/**
 * @throws PotorooError `model_unsupported` for tensors that cannot be passed on or inputs that disagree about the batch;
 * `model_invalid` when `tensorFields` does not fit.
 */
export function layoutOf(inputs: readonly TensorInfo[], outputs: readonly TensorInfo[], tensorFields: readonly string[] | undefined): Layout {
  const names = inputNames(inputs, tensorFields);
  const fields = inputs.map((t, i): Field => ({ name: names[i] ?? t.name, type: supported('Input', t), shape: t.dims.slice(1) }));
  for (const t of outputs) supported('Output', t);
  if (inputs.length === 0) throw new PotorooError('model_unsupported', 'The model has no inputs, so there is nothing to infer from.');
  if (outputs.length === 0) throw new PotorooError('model_unsupported', 'The model has no outputs.');
  const fixed = new Set(inputs.filter((t) => t.dims.length > 0 && t.dims[0] !== -1).map((t) => t.dims[0] ?? -1));
  if (inputs.some((t) => t.dims.length === 0)) fixed.add(1);
  if (fixed.size > 1) {
    throw new PotorooError('model_unsupported', `The model's inputs have different fixed batch dimensions (${inputs.map((t) => `${t.name}: [${t.dims.join(',')}]`).join(', ')}). Export it with one batch dimension for all.`);
  }
  const rows = fixed.size === 0 ? 'free' : [...fixed][0] ?? 'free';
  if (rows === 0) throw new PotorooError('model_unsupported', 'The model has a batch dimension of 0. Export it with a free batch dimension.');
  const symbol = new Set(inputs.map((t) => t.symbols[0] ?? '').filter((s) => s !== ''));
  const aligned = outputs.map((t): Layout['aligned'][number] => {
    if (t.dims.length === 0) return 'no';
    if (rows === 'free') return t.dims[0] === -1 && symbol.size === 1 && symbol.has(t.symbols[0] ?? '') ? 'yes' : 'see';
    if (t.dims[0] === rows) return 'yes';
    return rows !== 1 && t.dims[0] === -1 ? 'see' : 'no';
  });
  return { rows, inputs: fields, batched: inputs.map((t) => t.dims.length > 0), aligned };
}
