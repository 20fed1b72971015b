import { datasets, select, type Batch, type Column } from '@potoroo/batch';
import { PotorooError } from '@potoroo/contract/plain';
import type { Pipeline } from '../pipeline.ts';

/** What a request asks to get back, resolved against the columns this pipeline has. */
export interface Selection {
  /** The columns, in the answer's order: `time` or not, the run's own by name, then metadata. */
  time: boolean;
  run: readonly string[];
  metadata: readonly MetadataName[];
  /** Null nests: `{"out":{"y":..}}`; '.' flattens: `{"out.y":..}`. */
  separator: string | null;
  /** Whether the request said anything about datasets; if not, JSON answers have the edge form. */
  asked: boolean;
  /** Columns of challengers are among `run`: they are there once those are done. */
  waits: boolean;
}

const cached = 256;
/** Names in a message. */
const mostNamed = 30;

/**
 * Reads `dataset[]`, `dataset.exclude[]` and `dataset.separator` of a query (the brackets may be left out), or `dataset.flatten`
 * for the usual separator, which is how the API document of the Python client has it. A client
 * repeats the same few queries, so each is resolved once.
 */
export class Datasets {
  readonly #names: readonly string[];
  readonly #shadowNames: readonly string[];
  readonly #seen = new Map<string, Selection>();

  /** @param shadowNames columns of challengers, which are given only to who names them: `*` waits for nobody */
  constructor(names: readonly string[], shadowNames: readonly string[] = []) {
    this.#names = names;
    this.#shadowNames = shadowNames;
  }

  /** @throws PotorooError `invalid_request` for a parameter given in a wrong form, and for a name that this pipeline does not have */
  of(query: string): Selection {
    const known = this.#seen.get(query);
    if (known !== undefined) return known;
    const params = new URLSearchParams(query);
    const include = [...params.getAll('dataset[]'), ...params.getAll('dataset')];
    const exclude = [...params.getAll('dataset.exclude[]'), ...params.getAll('dataset.exclude')];
    const separators = params.getAll('dataset.separator');
    if (separators.length > 1) throw new PotorooError('invalid_request', 'dataset.separator is given more than once. Give it once.');
    const flatten = params.get('dataset.flatten');
    if (flatten !== null && flatten !== 'true' && flatten !== 'false') throw new PotorooError('invalid_request', `dataset.flatten is '${flatten.slice(0, 80)}'. Use true or false.`);
    const separator = separators[0] ?? (flatten === 'true' ? '.' : null);
    if (separator !== null && separator.length > 8) throw new PotorooError('invalid_request', `dataset.separator '${separator.slice(0, 80)}' is too long. Use at most 8 characters.`);
    for (const name of include) if (!this.#has(name) && !comesAndGoes(name)) throw this.#missing('dataset', name);
    for (const name of exclude) if (!this.#has(name) && !comesAndGoes(name)) throw this.#missing('dataset.exclude', name);
    // An answer without any column says nothing to who asks for one that is not there now.
    const gone = include.find((name) => !this.#has(name));
    if (gone !== undefined && !include.some((name) => this.#has(name))) throw this.#missing('dataset', gone);
    const names = chosen(this.#names, include, exclude);
    const named = include.filter((name) => name !== '*');
    const shadows = named.length === 0 ? [] : chosen(this.#shadowNames, named, exclude);
    const metadata = metadataNames.filter((name) => names.includes(name));
    const run = [...names.filter((name) => name !== 'time' && !metadata.includes(name as MetadataName)), ...shadows];
    const selection = { time: names.includes('time'), run, metadata, separator: separator === '' ? null : separator, asked: include.length + exclude.length + separators.length > 0 || flatten !== null, waits: shadows.length > 0 };
    if (this.#seen.size >= cached) this.#seen.clear();
    this.#seen.set(query, selection);
    return selection;
  }

  #has(name: string): boolean {
    return datasets.includes(name) || chosen(this.#names, [name], []).length > 0 || chosen(this.#shadowNames, [name], []).length > 0;
  }

  #missing(parameter: string, name: string): PotorooError {
    const own = [...this.#names, ...this.#shadowNames].filter((column) => !datasets.includes(column));
    const there = own.length > mostNamed ? `${own.slice(0, mostNamed).join(', ')} and ${own.length - mostNamed} more` : own.join(', ');
    return new PotorooError('invalid_request', `${parameter} '${name.slice(0, 80)}' is nothing that this pipeline answers with. Name a dataset (${datasets.join(', ')}) or a column: ${there}.`, { fields: [{ field: parameter, message: 'no such dataset or column' }] });
  }
}

/** Challengers, splits and validations come and go with the versions of a pipeline: who watches them among others is not refused for their end. */
function comesAndGoes(name: string): boolean {
  return name.startsWith('out_') || name.startsWith('anomaly.') || name === 'out._model_split';
}

function chosen(names: readonly string[], include: readonly string[], exclude: readonly string[]): string[] {
  const all: Batch = { rows: 0, columns: names.map((name): Column => ({ kind: 'tensor', name, type: 'int8', shape: [], values: new Int8Array(0) })) };
  return select(all, include, exclude).columns.map((c) => c.name);
}

const metadataNames = ['metadata.last_model', 'metadata.pipeline_version', 'metadata.elapsed', 'metadata.dropped', 'metadata.partition', 'metadata.request_id'] as const;
export type MetadataName = (typeof metadataNames)[number];

/** Every column an answer can have, in the order answers have them; those of challengers apart. */
export function answerColumns({ inputs, outputs, splits, checks }: Pick<Pipeline, 'inputs' | 'outputs' | 'splits' | 'checks'>): string[] {
  return [
    'time', ...inputs.map((f) => `in.${f.name}`), ...outputs.map((f) => `out.${f.name}`), ...(splits > 0 ? ['out._model_split'] : []),
    'anomaly.count', ...(checks?.names ?? []).map((name) => `anomaly.${name}`), ...metadataNames,
  ];
}
