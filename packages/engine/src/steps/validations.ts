import { compileValidation, slice, type Batch, type Column, type Validation } from '@potoroo/batch';
import type { Field, ValidationSpec } from '@potoroo/contract/plain';
import type { RunRequest } from './step.ts';

/** The validations of a pipeline, compiled. */
export interface Checks {
  readonly names: readonly string[];
  /** One column `anomaly.<name>` for each, and the number of true ones of each row. */
  run(batch: Batch, requests: readonly RunRequest[]): { columns: Column[]; count: Int8Array };
}

/**
 * Compiles validations against the columns of a pipeline, `in.x` and `out.y`. Undefined where there are none.
 * @throws PotorooError `pipeline_invalid` naming the part of the expression that does not fit
 */
export function compileChecks(specs: readonly ValidationSpec[], inputs: readonly Field[], outputs: readonly Field[]): Checks | undefined {
  if (specs.length === 0) return undefined;
  const fields = [...inputs.map((f) => ({ ...f, name: `in.${f.name}` })), ...outputs.map((f) => ({ ...f, name: `out.${f.name}` }))];
  const checks = specs.map(({ name, expression }) => compileValidation(expression, fields, name));
  return {
    names: checks.map((c) => c.name),
    run(batch, requests) {
      const count = new Int8Array(batch.rows);
      const columns = checks.map((check): Column => {
        const values = evaluate(check, batch, requests);
        for (let i = 0; i < values.length; i++) (count[i] as number) += values[i] as number;
        return { kind: 'tensor', name: `anomaly.${check.name}`, type: 'bool', shape: [], values };
      });
      return { columns, count };
    },
  };
}

/** What looks at more than a row sees the rows of one request, and never those that happened to share its run. */
function evaluate(check: Validation, batch: Batch, requests: readonly RunRequest[]): Uint8Array {
  if (check.rowwise || requests.length === 1) return check.evaluate(batch);
  const values = new Uint8Array(batch.rows);
  let from = 0;
  for (const { batch: { rows } } of requests) {
    values.set(check.evaluate(slice(batch, from, from + rows)), from);
    from += rows;
  }
  return values;
}
