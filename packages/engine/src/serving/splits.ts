import { utf8From, type Column, type Utf8 } from '@potoroo/batch';
import type { ModelIdentity, SplitRecord } from '../steps/step.ts';

/** The model that each row's answer came from. */
export interface RowModels { readonly models: readonly ModelIdentity[]; readonly choice: Uint8Array }

export function answeringModels(splits: readonly SplitRecord[]): RowModels | undefined {
  return splits.at(-1);
}

export const modelOfRow = ({ models, choice }: RowModels, row: number): ModelIdentity => models[choice[row] as number] as ModelIdentity;

/** `out._model_split`: for each row the models that splits sent it to, as JSON. */
export function splitColumn(splits: readonly SplitRecord[], rows: number): Column {
  /** By the number that the choices of a row make. */
  const texts = new Map<number, Uint8Array>();
  const parts: Uint8Array[] = [];
  const offsets = new Int32Array(rows + 1);
  for (let row = 0; row < rows; row++) {
    let key = 0;
    for (const { models, choice } of splits) key = key * models.length + (choice[row] as number);
    let text = texts.get(key);
    if (text === undefined) {
      const models = splits.map((s) => modelOfRow(s, row)).map(({ name, version, sha }) => ({ name, version, sha }));
      texts.set(key, text = utf8From([JSON.stringify(models)]).bytes);
    }
    parts.push(text);
    offsets[row + 1] = (offsets[row] as number) + text.length;
  }
  const values: Utf8 = { offsets, bytes: Buffer.concat(parts) };
  return { kind: 'tensor', name: 'out._model_split', type: 'string', shape: [], values };
}
