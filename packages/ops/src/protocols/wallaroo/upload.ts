import { Type, type Static } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { accelerators, architectures, errorCodes, PotorooError, type Accelerator, type Architecture, type ErrorCode, type Field } from '@potoroo/contract';
import { decodeArrowSchema } from '@potoroo/batch';
import type { Actor, ModelVersion, UploadInput } from '../../domains/domains.ts';
import { actorOf } from '../authenticate.ts';
import { leaveBodies } from '../streams.ts';
import { fileOf, readForm, textOf, type FormPart } from '../form.ts';
import { Maybe, type Context } from './http.ts';

export const Conversion = Type.Object({ framework: Type.String(), arch: Maybe(Type.String()), accel: Type.Optional(Type.Unknown()) }, { additionalProperties: true });
const Metadata = Type.Object({
  name: Type.String(),
  visibility: Maybe(Type.Union([Type.Literal('private'), Type.Literal('public')])),
  workspace_id: Type.Integer({ minimum: 1 }),
  conversion: Conversion,
  input_schema: Maybe(Type.String()),
  output_schema: Maybe(Type.String()),
  image_path: Maybe(Type.String()),
});

const invalid = (field: string, message: string): PotorooError => new PotorooError('invalid_request', `${field} ${message}`, { fields: [{ field, message }] });

/** Base64 of an Arrow schema message. @throws invalid_request naming the field */
export function readSchema(text: string, field: string): Field[] {
  try {
    return decodeArrowSchema(Buffer.from(text, 'base64'));
  } catch (error) {
    throw new PotorooError('invalid_request', `${field} is not an Arrow schema in base64. Serialize one with pyarrow's schema.serialize().`, { fields: [{ field, message: 'not an Arrow schema' }], cause: error });
  }
}

function readMetadata(text: string): Static<typeof Metadata> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PotorooError('malformed_body', 'The part "metadata" is not JSON.', { cause: error });
  }
  const wrong = Value.Errors(Metadata, value).First();
  if (wrong !== undefined) throw invalid(`metadata${wrong.path.replaceAll('/', '.')}`, `is not right: ${wrong.message}.`);
  return value as Static<typeof Metadata>;
}

export function oneOf<T extends string>(values: readonly T[], value: unknown, field: string): T {
  if (!values.includes(value as T)) throw invalid(field, `${JSON.stringify(value)?.slice(0, 80)} is not known. Use one of ${values.join(', ')}.`);
  return value as T;
}

/** `none`, or one key with its settings, which stay in the conversion. */
export const accelOf = (value: unknown): unknown => (typeof value === 'object' && value !== null ? Object.keys(value)[0] : value) ?? 'none';

/**
 * What the conversion record says of how the model is loaded. The client always sends Python 3.8, which no runtime here is made for:
 * that means none in particular.
 */
export function uploadOptions({ framework, requirements, python_version, framework_config }: Static<typeof Conversion> & Record<string, unknown>): Pick<UploadInput, 'requirements' | 'pythonVersion' | 'frameworkConfig'> {
  if (requirements !== undefined && requirements !== null && !(Array.isArray(requirements) && requirements.every((line) => typeof line === 'string'))) throw invalid('metadata.conversion.requirements', 'has to be a list of texts.');
  const named = typeof framework_config === 'object' && framework_config !== null ? (framework_config as { framework?: unknown; config?: unknown }) : undefined;
  if (named !== undefined && named.framework !== framework) throw invalid('metadata.conversion.framework_config', `is for the framework ${JSON.stringify(named.framework)?.slice(0, 80)} and the model of ${framework}.`);
  const lines = (requirements ?? []) as string[];
  return {
    ...(lines.length > 0 && { requirements: lines }),
    ...(typeof python_version === 'string' && /^3\.(?:9|1[0-9])$/.test(python_version) && { pythonVersion: python_version }),
    ...(named !== undefined && { frameworkConfig: (named.config ?? {}) as Record<string, unknown> }),
  };
}

const maxMetadata = 4 * 1024 * 1024;

/**
 * The upload form: `metadata` first, then `file`. The file goes from the socket to the blob store as it comes, so that its
 * size costs no memory; which is also why the metadata cannot come after it.
 */
async function openForm(form: AsyncGenerator<FormPart>) {
  let metadata: Static<typeof Metadata> | undefined;
  for (let next = await form.next(); !next.done; next = await form.next()) {
    const part = next.value;
    if (part.name === 'metadata') {
      metadata = readMetadata(await textOf(part, maxMetadata));
    } else if (part.name === 'file') {
      if (metadata === undefined) throw invalid('metadata', 'has to come before the file.');
      return { metadata, fileName: part.fileName ?? 'model', content: fileOf(part, form) };
    }
  }
  // An image is registered without a file.
  if (metadata?.image_path) return { metadata, image: metadata.image_path };
  throw invalid(metadata === undefined ? 'metadata' : 'file', 'is missing from the form.');
}

/** The client does not ask again what became of such an upload, and waits 45 seconds for the answer. */
const patienceMs = 30_000;

const errorCodeOf = (code: string | undefined): ErrorCode => (code !== undefined && code in errorCodes ? (code as ErrorCode) : 'model_invalid');

export async function uploadRoutes(app: FastifyInstance, { domains: { models, images } }: Context): Promise<void> {
  leaveBodies(app);

  const store = (actor: Actor, patience: { patienceMs?: number }, form: Awaited<ReturnType<typeof openForm>>): Promise<ModelVersion> => {
    const { metadata } = form;
    const { conversion } = metadata;
    const input = metadata.input_schema ? readSchema(metadata.input_schema, 'input_schema') : undefined;
    const output = metadata.output_schema ? readSchema(metadata.output_schema, 'output_schema') : undefined;
    const common = {
      workspaceId: metadata.workspace_id,
      name: metadata.name,
      arch: oneOf<Architecture>(architectures, conversion.arch ?? 'x86', 'conversion.arch'),
      visibility: metadata.visibility ?? 'private',
      conversion,
      ...(input ? { inputSchema: input } : {}),
      ...(output ? { outputSchema: output } : {}),
      ...patience,
    };
    if (form.image !== undefined) return images.register(actor, { ...common, image: form.image });
    return models.upload(actor, {
      ...common,
      fileName: form.fileName,
      framework: conversion.framework,
      accel: oneOf<Accelerator>(accelerators, accelOf(conversion.accel), 'conversion.accel'),
      ...uploadOptions(conversion),
      content: form.content,
    });
  };
  const upload = async (request: FastifyRequest, patience: { patienceMs?: number } = {}): Promise<ModelVersion> => {
    const form = readForm(request.raw, request.headers['content-type']);
    try {
      return await store(actorOf(request), patience, await openForm(form));
    } finally {
      await form.return();
    }
  };
  const answer = (version: ModelVersion) => ({ insert_models: { returning: [{ models: [{ id: version.id }] }] } });

  // A file that does not load is said here, where the client's user sees it.
  app.post('/v1/api/models/upload', async (request) => {
    const version = await upload(request, { patienceMs });
    if (version.status === 'error') throw new PotorooError(errorCodeOf(version.reason?.code), version.reason?.message ?? 'The model did not load.');
    return answer(version);
  });
  // Here it asks for the status until that is decided.
  app.post('/v1/api/models/upload_and_convert', async (request) => answer(await upload(request)));
}
