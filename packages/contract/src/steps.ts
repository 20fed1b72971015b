import { PotorooError } from './errors.ts';
import type { ModelRef, Step, ValidationSpec } from './pipeline.ts';

/** The models of one step; the first is the one whose inputs and outputs are those of the step. */
export function modelsOfStep(step: Step): ModelRef[] {
  switch (step.type) {
    case 'model': return [step.model];
    case 'random-split': return step.weights.map((w) => w.model);
    case 'key-split': return [step.control, ...Object.values(step.routes)];
    case 'shadow': return [step.champion, ...step.challengers.map((c) => c.model)];
    case 'validations': return [];
  }
}

/** Every model that steps run, once, in their order. */
export function modelsOf(steps: readonly Step[]): ModelRef[] {
  return [...new Map(steps.flatMap(modelsOfStep).map((ref) => [`${ref.version}/${ref.name}`, ref])).values()];
}

/** All validations of a pipeline; `count` is not one, whatever it says. */
export function validationsOf(steps: readonly Step[]): ValidationSpec[] {
  return steps.flatMap((step) => (step.type === 'validations' ? step.validations.filter((v) => v.name !== 'count') : []));
}

/** What of these steps is accepted but does not do what it seems to, in sentences. */
export function warningsOf(steps: readonly Step[]): string[] {
  const counts = steps.some((step) => step.type === 'validations' && step.validations.some((v) => v.name === 'count'));
  return counts ? ["The validation 'count' is ignored: anomaly.count is the number of anomalies in a row. Give it another name."] : [];
}

/** A step in a few words, for people. */
export function stepText(step: Step): string {
  const names = modelsOfStep(step).map((m) => m.name);
  switch (step.type) {
    case 'model': return names.join('');
    case 'random-split': return `random split of ${names.join(', ')}`;
    case 'key-split': return `split of ${names.join(', ')} by ${step.splitKey}`;
    case 'shadow': return `${names[0]} with ${names.slice(1).join(', ')} as shadow`;
    case 'validations': return `validations ${step.validations.map((v) => v.name).join(', ')}`;
  }
}

/** The columns `out_<model>` that each challenger's outputs go to: of two that share their name, the second has its version in it. */
export function challengerNames(steps: readonly Step[]): string[] {
  const names = new Set<string>();
  for (const { model } of steps.flatMap((step) => (step.type === 'shadow' ? step.challengers : []))) {
    names.add(names.has(`out_${model.name}`) ? `out_${model.name}_${model.version}` : `out_${model.name}`);
  }
  return [...names];
}

/**
 * What a schema cannot say of steps. An empty list is a pipeline that has none yet.
 * @throws PotorooError pipeline_invalid naming the step
 */
export function checkSteps(steps: readonly Step[]): void {
  const refuse = (field: string, message: string): never => { throw new PotorooError('pipeline_invalid', `${field}: ${message}`, { fields: [{ field, message }] }); };
  steps.forEach((step, i) => {
    if (step.type === 'random-split' && !step.weights.some((w) => w.weight > 0)) refuse(`steps[${i}].weights`, 'one weight at least must be above 0.');
  });
  const names = validationsOf(steps).map((v) => v.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) refuse('validations', `there are two of the name '${twice}'. Give each a name of its own.`);
  if (names.length > 100) refuse('validations', `there are ${names.length}; a pipeline has at most 100.`);
  if (steps.length > 0 && steps.every((step) => step.type === 'validations')) refuse('steps', 'there are only validations. Add a step that runs a model.');
  const challengers = steps.flatMap((step) => (step.type === 'shadow' ? step.challengers.map((c) => `${c.model.name}/${c.model.version}`) : []));
  if (new Set(challengers).size < challengers.length) refuse('challengers', 'one model version is a challenger twice. Name each version once.');
}
