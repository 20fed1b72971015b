import { slice, utf8From, type Column, type Utf8 } from '@potoroo/batch';
import type { ModelIdentity, SplitRecord } from '../steps/step.ts';
import type { SpoolGroup } from '../spool/spool.ts';

/** The model that each row's answer came from. */
export interface RowModels { readonly models: readonly ModelIdentity[]; readonly choice: Uint8Array }

export function answeringModels(splits: readonly SplitRecord[]): RowModels | undefined {
  return splits.at(-1);
}

export const modelOfRow = ({ models, choice }: RowModels, row: number): ModelIdentity => models[choice[row] as number] as ModelIdentity;

/** `out._model_split`: for each row the models that splits sent it to, as JSON. */
export function splitColumn(splits: readonly SplitRecord[], rows: number): Column {
  const texts = new Map<string, Uint8Array>();
  const parts: Uint8Array[] = [];
  const offsets = new Int32Array(rows + 1);
  for (let row = 0; row < rows; row++) {
    const key = splits.map((s) => s.choice[row]).join();
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

/** A group cut where the model changes: an entry of the log has one last model. */
export function* stretches(group: SpoolGroup, by: RowModels): Generator<SpoolGroup> {
  const { choice } = by;
  if (choice.every((c) => c === choice[0])) return yield { ...group, lastModel: modelOfRow(by, 0) };
  let request = 0;
  let taken = 0;
  for (let from = 0; from < group.rows;) {
    let to = from + 1;
    while (to < group.rows && choice[to] === choice[from]) to++;
    const requests: SpoolGroup['requests'][number][] = [];
    for (let rows = to - from; rows > 0;) {
      const current = group.requests[request] as SpoolGroup['requests'][number];
      const count = Math.min(rows, current.rows - taken);
      requests.push({ ...current, rows: count });
      rows -= count;
      taken += count;
      if (taken === current.rows) [request, taken] = [request + 1, 0];
    }
    const { columns } = slice({ rows: group.rows, columns: group.columns }, from, to);
    yield { rows: to - from, columns, requests, lastModel: modelOfRow(by, from) };
    from = to;
  }
}
