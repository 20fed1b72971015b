import { Type, type Static } from '@sinclair/typebox';
import { FieldSchema } from './field.ts';

/** Which model version a step runs. `version` is the model version's UUID. */
export const ModelRefSchema = Type.Object({
  name: Type.String(),
  version: Type.String({ description: "The model version's UUID." }),
});
export type ModelRef = Static<typeof ModelRefSchema>;

/** A step that runs one model on the previous step's output (the request, for the first step). */
export const ModelStepSchema = Type.Object({ type: Type.Literal('model'), model: ModelRefSchema });

const Key = (description: string) => Type.String({ minLength: 1, maxLength: 256, description });

/**
 * A step that sends each request, or, with `hashKey`, each row, to one of its models, as often as their weights say. With `hashKey` the
 * named input column decides: a number from 0 to 1 is used as it is, anything else is hashed, so that one key always meets one model.
 */
export const RandomSplitStepSchema = Type.Object({
  type: Type.Literal('random-split'),
  hashKey: Type.Optional(Key('Input column whose value decides.')),
  weights: Type.Array(Type.Object({ model: ModelRefSchema, weight: Type.Number({ minimum: 0, maximum: 1e12 }) }), { minItems: 1, maxItems: 64 }),
});

/** A step that sends each row to the model that the value of an input column is routed to, and all other rows to `control`. */
export const KeySplitStepSchema = Type.Object({
  type: Type.Literal('key-split'),
  splitKey: Key('Input column whose value decides.'),
  control: ModelRefSchema,
  routes: Type.Record(Type.String({ maxLength: 256 }), ModelRefSchema, { maxProperties: 64 }),
});

/** A step that answers with the champion alone and has the challengers see the same rows afterwards; their outputs go to the log as `out_<model>.<field>`. */
export const ShadowStepSchema = Type.Object({
  type: Type.Literal('shadow'),
  champion: ModelRefSchema,
  challengers: Type.Array(Type.Object({
    model: ModelRefSchema,
    fraction: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1, description: 'Share of the requests it sees, chosen by their ids; all of them by default.' })),
  }), { minItems: 1, maxItems: 32 }),
});

/** Checks of the inputs and outputs of each row: true marks an anomaly. Wherever the step stands, they see the result of the whole pipeline. */
export const ValidationsStepSchema = Type.Object({
  type: Type.Literal('validations'),
  validations: Type.Array(Type.Object({
    name: Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$', description: 'Of the column `anomaly.<name>`. `count` is ignored: that column counts the anomalies.' }),
    expression: Type.Union([Type.String({ maxLength: 1_000_000 }), Type.Object({}, { additionalProperties: true })], { description: 'A polars expression over `in.<input>` and `out.<output>`, in the JSON that polars writes.' }),
  }), { maxItems: 100 }),
});

/** A step takes a batch and gives a batch; one with validations only looks at it. */
export const StepSchema = Type.Union([ModelStepSchema, RandomSplitStepSchema, KeySplitStepSchema, ShadowStepSchema, ValidationsStepSchema]);
export type Step = Static<typeof StepSchema>;
export type ValidationSpec = Static<typeof ValidationsStepSchema>['validations'][number];

export const StepsSchema = Type.Array(StepSchema, { maxItems: 64, description: 'Run in order, each on the output of the one before.' });

/** How one model version is run; the guide's `model.configure(...)`. */
export const ModelConfigSchema = Type.Object({
  tensorFields: Type.Optional(Type.Array(Type.String(), { description: "Names that replace the model's own input names, in order; as many as the model has inputs." })),
  batchConfig: Type.Optional(Type.Literal('single', { description: 'Accept one row a request only.' })),
  filterThreshold: Type.Optional(Type.Number()),
  inputSchema: Type.Optional(Type.Array(FieldSchema)),
  outputSchema: Type.Optional(Type.Array(FieldSchema)),
  concurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: 64, description: 'Requests that each process of the model works on at once; 1 by default. For models that Python runs: those that the engine runs are refused it.' })),
});
export type ModelConfig = Static<typeof ModelConfigSchema>;

export const frameworks = ['onnx'] as const;
export type Framework = (typeof frameworks)[number];
export const architectures = ['x86', 'arm', 'power10'] as const;
export type Architecture = (typeof architectures)[number];
export const accelerators = ['none', 'cuda', 'jetson', 'openvino', 'rocm', 'qaic'] as const;
export type Accelerator = (typeof accelerators)[number];

export const isolations = ['process', 'container'] as const;
export type Isolation = (typeof isolations)[number];

/** How a model is run that needs a process of its own: Python with its environment, or the server in its container image. */
export const PythonModelSchema = Type.Object({
  environment: Type.Optional(Type.String({ description: 'Hash of its environment: of the packages that are installed in it. Not for models that are images.' })),
  isolation: Type.Optional(Type.Unsafe<Isolation>(Type.Union(isolations.map((i) => Type.Literal(i)), { description: 'Whether it runs as a child process of the engine (the default) or in a container.' }))),
  network: Type.Optional(Type.Boolean({ description: 'Whether its container has the network that the container tool gives; none by default.' })),
  python: Type.Optional(Type.String({ description: "The environment's interpreter; else `<POTOROO_ENVIRONMENTS>/<environment>/bin/python`." })),
  inputSchema: Type.Optional(Type.String({ description: 'Base64 of an Arrow schema message, where fields cannot express the schema.' })),
  outputSchema: Type.Optional(Type.String({ description: 'As inputSchema.' })),
  concurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: 64, description: 'Requests that the model works on at once; 1 by default.' })),
  cpus: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'Sets how many threads its libraries use; those of the engine by default.' })),
  memoryBytes: Type.Optional(Type.Integer({ minimum: 1, description: 'Writable memory that its process may have; in a container, all that it may use.' })),
  gpus: Type.Optional(Type.Integer({ minimum: 0, description: 'GPUs that its container gets.' })),
  env: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'Set in the environment of its process.' })),
  options: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: "The upload's framework_config and the like, handed to the framework." })),
});
export type PythonModel = Static<typeof PythonModelSchema>;

/** One model of a bundle. `file` is relative to the bundle folder and content-addressed. */
export const BundleModelSchema = Type.Object({
  id: Type.Integer({ description: 'Model version id in ops; 0 outside ops.' }),
  configId: Type.Integer({ description: 'Model config id in ops; 0 outside ops.' }),
  name: Type.String(),
  version: Type.String(),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  framework: Type.String(),
  fileName: Type.String(),
  file: Type.String(),
  config: ModelConfigSchema,
  python: Type.Optional(PythonModelSchema),
});
export type BundleModel = Static<typeof BundleModelSchema>;

/**
 * `pipeline.json` of a bundle: all an engine needs to serve one pipeline version, wherever it runs.
 * Ids are those of ops, so that logs and status of every replica and edge can be told apart; a bundle written by hand may use 0.
 */
export const BundleSchema = Type.Object({
  format: Type.Literal(1),
  pipeline: Type.Object({
    id: Type.Integer(),
    name: Type.String(),
    version: Type.String({ description: "The pipeline version's UUID." }),
    versionId: Type.Integer(),
    workspaceId: Type.Integer(),
    deploymentId: Type.Integer(),
  }),
  steps: StepsSchema,
  models: Type.Array(BundleModelSchema, { minItems: 1 }),
});
export type Bundle = Static<typeof BundleSchema>;
