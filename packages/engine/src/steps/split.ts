import { concat, take, type Batch, type Column } from '@potoroo/batch';
import { PotorooError, type Field, type Step } from '@potoroo/contract/plain';
import { keyTexts, missingKey, placesOf } from './keys.ts';
import { standIn, type ModelIdentity, type RunContext, type StepRunner } from './step.ts';

export interface Branch { readonly identity: ModelIdentity; readonly runner: StepRunner }
/** Index of the branch that each row goes to. */
export type Route = (context: RunContext) => Uint8Array;

/** The first weight at which the running sum passes this place of [0, 1]; models of weight 0 get nothing. */
export function pick(weights: readonly number[], place: number): number {
  const total = weights.reduce((a, b) => a + b, 0);
  let sum = 0;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if ((weights[i] as number) <= 0) continue;
    sum += weights[i] as number;
    last = i;
    if (place * total < sum) return i;
  }
  return last;
}

function keyOf(context: RunContext, name: string): Column {
  const column = context.input.columns.find((c) => c.name === name);
  if (column === undefined) throw missingKey(name);
  return column;
}

/** How a split step decides; `random` gives numbers of [0, 1). */
export function routeOf(step: Extract<Step, { type: 'random-split' | 'key-split' }>, random: () => number): Route {
  if (step.type === 'key-split') {
    const routes = new Map(Object.keys(step.routes).map((value, i) => [value, i + 1]));
    return (context) => Uint8Array.from(keyTexts(keyOf(context, step.splitKey), context.input.rows), (text) => (text === null ? 0 : routes.get(text) ?? 0));
  }
  const weights = step.weights.map((w) => w.weight);
  const { hashKey } = step;
  if (hashKey !== undefined) {
    return (context) => Uint8Array.from(placesOf(keyOf(context, hashKey), context.input.rows), (place) => pick(weights, place));
  }
  return (context) => {
    const choice = new Uint8Array(context.input.rows);
    let from = 0;
    for (const { batch } of context.requests) choice.fill(pick(weights, random()), from, from += batch.rows);
    return choice;
  };
}

/** The rows of each branch, run together and put back in their order. */
function scatter(batch: Batch, choice: Uint8Array, run: (branch: number, rows: Batch) => Batch | Promise<Batch>): Batch | Promise<Batch> {
  const first = choice[0] as number;
  if (choice.every((c) => c === first)) return run(first, batch);
  const rowsOf = new Map<number, number[]>();
  choice.forEach((c, row) => {
    const rows = rowsOf.get(c);
    if (rows === undefined) rowsOf.set(c, [row]);
    else rows.push(row);
  });
  const back = new Int32Array(batch.rows);
  let at = 0;
  for (const rows of rowsOf.values()) for (const row of rows) back[row] = at++;
  const parts = [...rowsOf].map(([branch, rows]) => run(branch, take(batch, Int32Array.from(rows))));
  const join = (outputs: readonly Batch[]): Batch => take(concat(outputs), back);
  return parts.some((p) => p instanceof Promise) ? Promise.all(parts).then(join) : join(parts as Batch[]);
}

const typeOf = (fields: readonly Field[]): string => fields.map((f) => `'${f.name}' (${f.type}[${f.shape.join(',')}])`).toSorted().join(', ');

/**
 * A step that sends rows to one of several models, which take and give the same columns.
 * @throws PotorooError `pipeline_invalid` naming two models that do not
 */
export function splitRunner(branches: readonly Branch[], route: Route, at: number): StepRunner {
  const main = branches[0] as Branch;
  const { inputs, outputs } = main.runner;
  const runners = branches.map(({ identity, runner }, i) => {
    if (typeOf(runner.outputs) !== typeOf(outputs)) {
      throw new PotorooError('pipeline_invalid', `Step ${at} splits between models '${main.identity.name}', which gives ${typeOf(outputs)}, and '${identity.name}', which gives ${typeOf(runner.outputs)}. Use models with the same outputs.`);
    }
    return i === 0 ? runner : standIn({ name: main.identity.name, runner: main.runner }, { name: identity.name, runner }, at);
  });
  const ordered = (batch: Batch, rows: number): Batch => {
    if (batch.rows !== rows) throw new PotorooError('inference_failed', `A model of step ${at} gave ${batch.rows} rows for ${rows}. Models of a split must return one row for each.`);
    if (outputs.every((f, i) => batch.columns[i]?.name === f.name)) return batch;
    return { rows, columns: outputs.flatMap((f) => batch.columns.find((c) => c.name === f.name) ?? []) };
  };
  const models = branches.map((b) => b.identity);
  return {
    inputs,
    outputs,
    run(batch, context) {
      if (batch.rows !== context.input.rows) throw new PotorooError('inference_failed', `Step ${at} splits by request, but got ${batch.rows} rows for the ${context.input.rows} of the request. Steps before a split must keep the rows.`);
      const choice = route(context);
      (context.splits ??= []).push({ models, choice });
      return scatter(batch, choice, (branch, rows) => {
        const answer = (runners[branch] as StepRunner).run(rows, context);
        return answer instanceof Promise ? answer.then((a) => ordered(a, rows.rows)) : ordered(answer, rows.rows);
      });
    },
  };
}
