import { PotorooError, type Field } from '@potoroo/contract/plain';
import { utf8From, type TensorColumn } from '../batch.ts';
import type { Json, JsonReader } from './reader.ts';

/**
 * Where a column goes that is read as text, whatever it comes as: a key by which rows are sent to models. Each value tells its text by
 * itself, so that its neighbours in a request cannot change it. A list of one is its value; a row may lack it.
 */
export class KeySink {
  readonly field: Field;
  readonly #texts: (string | null)[] = [];

  constructor(field: Field) {
    this.field = field;
  }

  get rows(): number {
    return this.#texts.length;
  }

  row(reader: JsonReader): void {
    this.#texts.push(this.#text(reader.value()));
  }

  /** The row being read has none. */
  skip(): void {
    this.#texts.push(null);
  }

  column(): TensorColumn {
    const texts = this.#texts;
    const nulls = texts.includes(null) ? { nulls: Uint8Array.from(texts, (t) => (t === null ? 1 : 0)) } : {};
    return { kind: 'tensor', name: this.field.name, type: 'string', shape: [], values: utf8From(texts.map((t) => t ?? '')), ...nulls };
  }

  #text(value: Json): string | null {
    if (typeof value === 'string') return value;
    if (value === null || Number.isNaN(value)) return null;
    if (Array.isArray(value) && value.length === 1) return this.#text(value[0] as Json);
    if (typeof value !== 'object') return String(value);
    const { name } = this.field;
    throw new PotorooError('schema_mismatch', `Column '${name}' decides which model a row goes to and needs one value in each row: a text or a number.`, { fields: [{ field: name, message: 'one value a row' }] });
  }
}
