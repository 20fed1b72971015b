import { compileValidation } from '@potoroo/batch';
import { modelsOfStep, PotorooError, validationsOf, type Field, type ModelConfig, type ModelRef, type Step } from '@potoroo/contract';

/** What a model takes and gives, as its deployment will see it; null where it declares nothing. */
export interface Link { readonly name: string; readonly inputs: readonly Field[] | null; readonly outputs: readonly Field[] | null }
export type LinkOf = (model: ModelRef) => Link;

/** Of a model version with its config. A model that Python runs may get its schemas after its upload, and need not have any. */
export function linkOf(name: string, own: { inputs: Field[] | null; outputs: Field[] | null }, config: Pick<ModelConfig, 'tensorFields' | 'inputSchema' | 'outputSchema'>, python: boolean): Link {
  const declared = (fields: Field[] | null, later: Field[] | undefined): Field[] | null => (python ? (later ?? (fields?.length === 0 ? null : fields)) : fields);
  const inputs = declared(own.inputs, config.inputSchema)?.map((field, i) => ({ ...field, name: config.tensorFields?.[i] ?? field.name })) ?? null;
  return { name, inputs, outputs: declared(own.outputs, config.outputSchema) };
}

/**
 * Whether each step can take what the one before gives: by name, or, where both have one column, whatever its name; whether the models
 * of one step go together; and whether validations fit. Element types are converted by the engine; a row shape that can never fit is
 * refused here. Models that declare nothing pass.
 * @throws pipeline_invalid naming the step and the columns
 */
export function checkChain(steps: readonly Step[], linkOf: LinkOf): void {
  let before: { at: number; link: Link } | undefined;
  steps.forEach((step, at) => {
    const [main, ...others] = modelsOfStep(step).map(linkOf);
    if (main === undefined) return;
    if (before !== undefined) takes(main, at, before.link.outputs, `step ${before.at} (model ${before.link.name})`);
    for (const other of others) {
      takes(other, at, main.inputs, `model ${main.name} of the same step`, 'takes');
      if (step.type !== 'shadow') givesTheSame(at, main, other);
    }
    before = { at, link: main };
  });
  checkValidations(steps, linkOf);
}

function takes({ name, inputs }: Link, at: number, given: readonly Field[] | null, by: string, verb = 'gives'): void {
  if (given === null || inputs === null) return;
  const lone = given.length === 1 && inputs.length === 1;
  for (const input of inputs) {
    const output = lone ? given[0] : given.find((o) => o.name === input.name);
    const where = `Step ${at} (model ${name}) takes column ${JSON.stringify(input.name)}`;
    if (output === undefined) {
      throw refuse(at, `${where}, which ${by} does not ${verb.slice(0, -1)}: it ${verb} ${given.map((o) => JSON.stringify(o.name)).join(', ')}. Rename the inputs with tensor_fields.`);
    }
    if (!fits(output.shape, input.shape)) {
      throw refuse(at, `${where} with rows of shape [${input.shape.join(',')}], but ${by} ${verb} [${output.shape.join(',')}]. Use models whose shapes fit.`);
    }
  }
}

function givesTheSame(at: number, main: Link, other: Link): void {
  if (main.outputs === null || other.outputs === null) return;
  const text = (fields: readonly Field[]): string => fields.map((f) => `${JSON.stringify(f.name)} (${f.type}[${f.shape.join(',')}])`).toSorted().join(', ');
  const [a, b] = [text(main.outputs), text(other.outputs)];
  if (a !== b) throw refuse(at, `Step ${at} splits between models ${main.name}, which gives ${a}, and ${other.name}, which gives ${b}. Use models with the same outputs.`);
}

/**
 * Whether validations fit the inputs and outputs of the pipeline, as far as those are known.
 * @throws pipeline_invalid naming the part of the expression
 */
function checkValidations(steps: readonly Step[], linkOf: LinkOf): void {
  const running = steps.filter((step) => step.type !== 'validations');
  const ends = [running[0], running.at(-1)].map((step) => step && modelsOfStep(step)[0]);
  const [inputs, outputs] = [ends[0] && linkOf(ends[0]).inputs, ends[1] && linkOf(ends[1]).outputs];
  if (inputs == null || outputs == null) return;
  const keys = running.flatMap((step) => (step.type === 'key-split' ? [step.splitKey] : step.type === 'random-split' && step.hashKey !== undefined ? [step.hashKey] : []));
  const beside = keys.filter((key) => !inputs.some((f) => f.name === key)).map((name): Field => ({ name, type: 'string', shape: [], nullable: true }));
  const fields = [...[...inputs, ...beside].map((f) => ({ ...f, name: `in.${f.name}` })), ...outputs.map((f) => ({ ...f, name: `out.${f.name}` }))];
  for (const { name, expression } of validationsOf(steps)) compileValidation(expression, fields, name);
}

const refuse = (step: number, message: string): PotorooError => new PotorooError('pipeline_invalid', message, { fields: [{ field: `steps[${step}]`, message }] });

/** Row shapes fit when they may have the same number of elements: engines reshape, they do not pad. */
function fits(from: readonly number[], to: readonly number[]): boolean {
  if (from.includes(-1) || to.includes(-1)) return true;
  const size = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);
  return size(from) === size(to);
}
