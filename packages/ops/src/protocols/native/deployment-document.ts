import { apiPrefix, modelsOfStep, validationsOf, type ElementType, type Field } from '@potoroo/contract';
import type { Actor, Domains } from '../../domains/domains.ts';

type Json = Record<string, unknown>;

const floating = { type: ['number', 'null'], description: 'null is not a number.' };
const whole = (format?: string) => ({ type: 'integer', ...(format && { format }) });
const elements: Readonly<Record<ElementType, Json>> = {
  bool: { type: 'boolean' }, string: { type: 'string' }, timestamp: { ...whole('int64'), description: 'Milliseconds since 1970.' },
  int8: whole(), int16: whole(), int32: whole('int32'), int64: whole('int64'), uint8: whole(), uint16: whole(), uint32: whole(), uint64: whole(),
  float16: floating, float32: floating, float64: floating,
};

function schemaOf({ type, shape, nullable, fields }: Omit<Field, 'name'>): Json {
  const element: Json = fields === undefined ? elements[type] : rowOf(fields);
  const schema = shape.toReversed().reduce<Json>((items, size) => ({ type: 'array', items, ...(size >= 0 && { minItems: size, maxItems: size }) }), element);
  return nullable === true ? { anyOf: [schema, { type: 'null' }] } : schema;
}

/** A row with these columns; any row where they are not known. */
function rowOf(fields: readonly Omit<Field, 'fields'>[] | null): Json {
  if (fields === null) return { type: 'object', additionalProperties: true };
  const required = fields.filter((f) => f.nullable !== true).map((f) => f.name);
  return { type: 'object', properties: Object.fromEntries(fields.map((f) => [f.name, schemaOf(f)])), ...(required.length > 0 && { required }) };
}

/** OpenAPI 3.1 of the inference address of a deployment: the columns that its pipeline version takes and gives. */
export async function deploymentDocument({ deployments, pipelines, models }: Domains, actor: Actor, id: number): Promise<Json> {
  const deployment = await deployments.get(actor, id);
  const { steps, version } = await pipelines.version(actor, deployment.pipelineVersionId);
  const running = steps.filter((step) => step.type !== 'validations');
  const [first, last] = await Promise.all([running[0], running.at(-1)].map(async (step) => {
    const [ref] = step === undefined ? [] : modelsOfStep(step);
    return ref && models.config(actor, (await models.versionByName(actor, ref.name, ref.version)).id);
  }));
  // Beside the columns of the model, steps read theirs from a row.
  const keys = running.flatMap((step) => (step.type === 'key-split' ? [step.splitKey] : step.type === 'random-split' && step.hashKey !== undefined ? [step.hashKey] : []));
  const input = rowOf(first?.inputSchema ?? first?.inputs ?? null);
  const row = { ...input, properties: { ...Object.fromEntries(keys.map((key) => [key, {}])), ...(input['properties'] as Json | undefined) } };
  const names = validationsOf(steps).map((v) => v.name).filter((name) => name !== 'count');
  const anomaly = { type: 'object', properties: { count: whole(), ...Object.fromEntries(names.map((name) => [name, { type: 'boolean' }])) }, required: ['count'] };
  const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
  return {
    openapi: '3.1.0',
    info: { title: deployment.pipelineName, version, description: `Inference by pipeline ${deployment.pipelineName}.` },
    // Relative to where the document was found: that is how this server is reached.
    servers: [{ url: `${apiPrefix}/deployments/${id}` }],
    security: [{ token: [] }],
    paths: { '/infer': { post: {
      operationId: 'infer', summary: `Run rows through ${deployment.pipelineName}`, tags: ['inference'],
      requestBody: { required: true, content: { 'application/json': { schema: { type: 'array', items: ref('Row') } } } },
      responses: {
        200: { description: 'A result for each row, in the same order.', content: { 'application/json': { schema: { type: 'array', items: ref('Result') } } } },
        default: { description: 'What is wrong, in the form of RFC 9457.', content: { 'application/problem+json': { schema: ref('Problem') } } },
      },
    } } },
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Row: row, Outputs: rowOf(last?.outputSchema ?? last?.outputs ?? null), Anomaly: anomaly,
        Result: { type: 'object', properties: { time: elements.timestamp, in: ref('Row'), out: ref('Outputs'), anomaly: ref('Anomaly') }, required: ['time', 'in', 'out', 'anomaly'] },
        Problem: { type: 'object', properties: { title: { type: 'string' }, status: whole(), code: { type: 'string' }, detail: { type: 'string' } }, required: ['title', 'status', 'code'] },
      },
    },
  };
}
