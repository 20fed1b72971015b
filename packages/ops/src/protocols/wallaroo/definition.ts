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

type Wire = Record<string, unknown>;

/** One kind of step: its key on the wire, and the translation both ways. */
interface StepForm<T extends Step['type']> {
  readonly key: string;
  /** `next` takes the body of the next step where that has this key: a shadow deploy is three steps on the wire. */
  read(body: Wire, at: string, next: (key: string) => Wire | undefined): Step;
  write(step: Extract<Step, { type: T }>, shaOf: ShaOf): Promise<Wire[]>;
}

const wireModel = async (model: ModelRef, shaOf: ShaOf): Promise<Wire> => ({ name: model.name, version: model.version, sha: await shaOf(model) });
const wireInference = async (models: readonly ModelRef[], shaOf: ShaOf): Promise<Wire> => ({ ModelInference: { models: await Promise.all(models.map((m) => wireModel(m, shaOf))) } });

const forms: { [T in Step['type']]: StepForm<T> } = {
  model: {
    key: 'ModelInference',
    read(body, at, next) {
      const models = body['models'];
      if (!Array.isArray(models) || models.length === 0) throw refuse(`${at}.models`, 'a list with one model is needed.');
      const [first, ...others] = models.map((m, i) => modelRef(m, `${at}.models[${i}]`)) as [ModelRef, ...ModelRef[]];
      if (others.length === 0) return { type: 'model', model: first };
      const audit = next('AuditResults');
      if (audit === undefined || audit['from'] !== 1 || (audit['to'] ?? null) !== null || next('MultiOut') === undefined) {
        throw refuse(`${at}.models`, `a step of ${models.length} models answers with one of them: follow it by an audit of "1:" and by all outputs, as add_shadow_deploy does, or give each model a step of its own.`);
      }
      return { type: 'shadow', champion: first, challengers: others.map((model) => ({ model })) };
    },
    async write(step, shaOf) {
      return [await wireInference([step.model], shaOf)];
    },
  },
  shadow: {
    key: 'MultiOut',
    read(_, at) {
      throw refuse(at, 'it needs a step of several models and an audit of "1:" before it. Use add_shadow_deploy.');
    },
    // The wire has no word for a fraction; see keepFractions.
    async write(step, shaOf) {
      return [await wireInference([step.champion, ...step.challengers.map((c) => c.model)], shaOf), { AuditResults: { from: 1, to: null } }, { MultiOut: {} }];
    },
  },
  'random-split': {
    key: 'RandomSplit',
    read(body, at) {
      const { weights, hash_key: hashKey } = body;
      if (!Array.isArray(weights) || weights.length === 0) throw refuse(`${at}.weights`, 'a list of models with their weights is needed.');
      if (hashKey !== undefined && hashKey !== null && (typeof hashKey !== 'string' || hashKey === '')) throw refuse(`${at}.hash_key`, 'the name of an input column is needed.');
      return {
        type: 'random-split',
        ...(typeof hashKey === 'string' && { hashKey }),
        weights: weights.map((entry: unknown, i) => {
          const { weight, model } = (entry ?? {}) as Wire;
          if (typeof weight !== 'number' || !Number.isFinite(weight) || weight < 0) throw refuse(`${at}.weights[${i}].weight`, 'a number from 0 on is needed.');
          return { model: modelRef(model, `${at}.weights[${i}].model`), weight };
        }),
      };
    },
    async write({ hashKey, weights }, shaOf) {
      return [{ RandomSplit: { hash_key: hashKey ?? null, weights: await Promise.all(weights.map(async ({ model, weight }) => ({ model: await wireModel(model, shaOf), weight }))) } }];
    },
  },
  'key-split': {
    key: 'MetaValueSplit',
    read(body, at) {
      const { split_key: splitKey, control, routes } = body;
      if (typeof splitKey !== 'string' || splitKey === '') throw refuse(`${at}.split_key`, 'the name of an input column is needed.');
      if (typeof routes !== 'object' || routes === null || Array.isArray(routes)) throw refuse(`${at}.routes`, 'an object of values and models is needed.');
      const entries = Object.entries(routes).map(([value, model]) => [value, modelRef(model, `${at}.routes.${value}`)] as const);
      return { type: 'key-split', splitKey, control: modelRef(control, `${at}.control`), routes: Object.fromEntries(entries) };
    },
    async write({ splitKey, control, routes }, shaOf) {
      const entries = await Promise.all(Object.entries(routes).map(async ([value, model]) => [value, await wireModel(model, shaOf)] as const));
      return [{ MetaValueSplit: { split_key: splitKey, control: await wireModel(control, shaOf), routes: Object.fromEntries(entries) } }];
    },
  },
  validations: {
    key: 'Check',
    read({ tree }, at) {
      if (!Array.isArray(tree)) throw refuse(`${at}.tree`, 'a list of expressions is needed.');
      return { type: 'validations', validations: tree.map((text: unknown, i) => ({ name: aliasOf(text, `${at}.tree[${i}]`), expression: text as string })) };
    },
    async write({ validations }) {
      return [{ Check: { tree: validations.map(({ name, expression }) => aliased(name, expression)) } }];
    },
  },
};

/** The client gives each expression its validation's name as its alias. */
function aliasOf(text: unknown, at: string): string {
  let json: unknown;
  try {
    json = typeof text === 'string' ? JSON.parse(text) : undefined;
  } catch {
    // told below
  }
  const alias: unknown = (json as { Alias?: unknown } | null | undefined)?.Alias;
  const name: unknown = Array.isArray(alias) ? alias[1] : undefined;
  if (typeof name !== 'string') throw refuse(at, 'a polars expression in JSON is needed, with the name of the validation as its alias.');
  return name;
}

/** As the client sends it: text, with the name as its alias. */
function aliased(name: string, expression: string | object): string {
  const json: unknown = typeof expression === 'string' ? JSON.parse(expression) : expression;
  const alias = (json as { Alias?: unknown[] }).Alias;
  if (typeof expression === 'string' && alias?.[1] === name) return expression;
  return JSON.stringify({ Alias: [alias === undefined ? json : alias[0], name] });
}

const formOfKey = new Map(Object.values(forms).map((form) => [form.key, form]));

/**
 * Steps of a definition; none for `{}`, which asks for the pipeline alone. An empty list is what the client sends when it
 * wants to deploy a pipeline that has no step, and the last chance to tell its user so.
 * @throws pipeline_invalid naming the step
 */
export function readDefinition(definition: unknown): Step[] {
  const wire = (definition as { steps?: unknown } | null | undefined)?.steps;
  if (wire === undefined) return [];
  if (!Array.isArray(wire)) throw refuse('definition.steps', 'a list is needed.');
  if (wire.length === 0) throw refuse('definition.steps', 'the pipeline has no step. Add one with add_model_step(model).');
  const steps: Step[] = [];
  for (let index = 0; index < wire.length; index++) {
    const at = `definition.steps[${index}]`;
    const step = (wire[index] ?? {}) as Record<string, Wire | null>;
    const [key, ...others] = Object.keys(step);
    if (key === undefined || others.length > 0) throw refuse(at, 'a step is an object with one key, its kind.');
    const form = formOfKey.get(key);
    if (form === undefined) throw refuse(at, `steps of the kind ${key.slice(0, 40)} cannot be run here. Use ${[...formOfKey.keys()].join(', ')}.`);
    steps.push(form.read(step[key] ?? {}, `${at}.${key}`, (wanted) => {
      const following = wire[index + 1] as Record<string, Wire | null> | null | undefined;
      if (typeof following !== 'object' || following === null || !Object.hasOwn(following, wanted)) return undefined;
      index++;
      return following[wanted] ?? {};
    }));
  }
  return steps;
}

/**
 * The wire has no word for the share of requests that a challenger sees: what comes back from the client has lost it. A shadow step of
 * the same models in the same place as before is that step, and keeps it.
 */
export function keepFractions(steps: readonly Step[], before: readonly Step[]): Step[] {
  const same = (a: ModelRef, b: ModelRef): boolean => a.name === b.name && a.version === b.version;
  return steps.map((step, i) => {
    const old = before[i];
    if (step.type !== 'shadow' || old?.type !== 'shadow' || !same(step.champion, old.champion) || step.challengers.length !== old.challengers.length) return step;
    return step.challengers.every(({ model }, k) => same(model, (old.challengers[k] as { model: ModelRef }).model)) ? { ...step, challengers: old.challengers } : step;
  });
}

/** The definition of a pipeline of this name. */
export async function writeDefinition(name: string, steps: readonly Step[], shaOf: ShaOf): Promise<WireDefinition> {
  const write = <T extends Step['type']>(step: Extract<Step, { type: T }>): Promise<Wire[]> => (forms[step.type as T] as StepForm<T>).write(step, shaOf);
  return { id: name, steps: (await Promise.all(steps.map(write))).flat() };
}
