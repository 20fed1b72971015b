import { PotorooError, type ModelRef, type Step } from '@potoroo/contract';

/** A pipeline definition as the Python client sends and reads it: each step is an object with one key, the step's kind. */
export interface WireDefinition {
  id: string;
  steps: Record<string, unknown>[];
}
/** What the wire says of a model besides its name and version. */
export type ShaOf = (model: ModelRef) => Promise<string>;

const refuse = (at: string, message: string): PotorooError => new PotorooError('pipeline_invalid', `${at}: ${message}`, { fields: [{ field: at, message }] });

function modelRef(value: unknown, at: string): ModelRef {
  const { name, version } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string' || typeof version !== 'string') throw refuse(at, 'a model needs its name and its version, both strings.');
  return { name, version };
}

/** One kind of step: its key on the wire, and the translation both ways. */
interface StepForm<T extends Step['type']> {
  readonly key: string;
  read(body: Record<string, unknown>, at: string): Extract<Step, { type: T }>;
  write(step: Extract<Step, { type: T }>, shaOf: ShaOf): Promise<Record<string, unknown>>;
}

/** The kinds that the client and this server both know. */
const forms: { [T in Step['type']]?: StepForm<T> } = {
  model: {
    key: 'ModelInference',
    read(body, at) {
      const models = body['models'];
      if (!Array.isArray(models) || models.length === 0) throw refuse(`${at}.models`, 'a list with one model is needed.');
      if (models.length > 1) throw refuse(`${at}.models`, `a step of ${models.length} models cannot be run here. Give each model a step of its own.`);
      return { type: 'model', model: modelRef(models[0], `${at}.models[0]`) };
    },
    async write(step, shaOf) {
      return { models: [{ name: step.model.name, version: step.model.version, sha: await shaOf(step.model) }] };
    },
  },
};
const formOfKey = new Map(Object.values(forms).map((form) => [form.key, form]));

/** A step that this wire has no word for is shown by its own, so that what it is can still be read. */
async function writeStep<T extends Step['type']>(step: Extract<Step, { type: T }>, shaOf: ShaOf): Promise<Record<string, unknown>> {
  const form = forms[step.type as T];
  return form === undefined ? { [step.type]: step } : { [form.key]: await form.write(step, shaOf) };
}

/**
 * Steps of a definition; none for `{}`, which asks for the pipeline alone. An empty list is what the client sends when it
 * wants to deploy a pipeline that has no step, and the last chance to tell its user so.
 * @throws pipeline_invalid naming the step
 */
export function readDefinition(definition: unknown): Step[] {
  const steps = (definition as { steps?: unknown } | null | undefined)?.steps;
  if (steps === undefined) return [];
  if (!Array.isArray(steps)) throw refuse('definition.steps', 'a list is needed.');
  if (steps.length === 0) throw refuse('definition.steps', 'the pipeline has no step. Add one with add_model_step(model).');
  return steps.map((step: unknown, index) => {
    const at = `definition.steps[${index}]`;
    const [key, ...others] = Object.keys((step ?? {}) as object);
    if (key === undefined || others.length > 0) throw refuse(at, 'a step is an object with one key, its kind.');
    const form = formOfKey.get(key);
    if (form === undefined) throw refuse(at, `steps of the kind ${key.slice(0, 40)} cannot be run here. Use ${[...formOfKey.keys()].join(', ')}.`);
    return form.read(((step as Record<string, unknown>)[key] ?? {}) as Record<string, unknown>, `${at}.${key}`);
  });
}

/** The definition of a pipeline of this name. */
export async function writeDefinition(name: string, steps: readonly Step[], shaOf: ShaOf): Promise<WireDefinition> {
  return { id: name, steps: await Promise.all(steps.map((step) => writeStep(step, shaOf))) };
}
