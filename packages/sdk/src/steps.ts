import type { ModelRef, Step, ValidationSpec } from '@potoroo/contract';

/** A model version that a step can run. */
export interface StepModel {
  readonly name: string;
  readonly version: string;
}

const ref = ({ name, version }: StepModel): ModelRef => ({ name, version });

/** Runs one model. */
export const modelStep = (model: StepModel): Step => ({ type: 'model', model: ref(model) });

/** Each request, or with `hashKey` each row by the value of that input, goes to one of the models, as often as their weights say. */
export function randomSplit(models: readonly { readonly model: StepModel; readonly weight: number }[], options: { readonly hashKey?: string } = {}): Step {
  return { type: 'random-split', weights: models.map(({ model, weight }) => ({ model: ref(model), weight })), ...(options.hashKey === undefined ? {} : { hashKey: options.hashKey }) };
}

/** Each row goes to the model that the value of an input is routed to, all others to `control`. */
export function keySplit(splitKey: string, control: StepModel, routes: Readonly<Record<string, StepModel>>): Step {
  return { type: 'key-split', splitKey, control: ref(control), routes: Object.fromEntries(Object.entries(routes).map(([value, model]) => [value, ref(model)])) };
}

/** The champion answers; challengers see the same rows afterwards, or, with `fraction`, so much of them, and what they say is in the log. */
export function shadow(champion: StepModel, challengers: readonly { readonly model: StepModel; readonly fraction?: number }[]): Step {
  return { type: 'shadow', champion: ref(champion), challengers: challengers.map(({ model, fraction }) => ({ model: ref(model), ...(fraction === undefined ? {} : { fraction }) })) };
}

/** Marks anomalies: see `Expression.as`. */
export const validations = (...list: readonly ValidationSpec[]): Step => ({ type: 'validations', validations: [...list] });
