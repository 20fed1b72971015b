import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { encodeArrowFile, encodeArrowStream, encodeLines, encodeRecordsBytes, slice, type Batch } from '@potoroo/batch';
import { IdSchema, LogPageSchema, LogQuerySchema, LogRetentionSchema, PartitionsSchema, PotorooError, SetLogRetentionSchema, type ApiLogQuery } from '@potoroo/contract';
import type { LogPage, LogQuery } from '../../domains/domains.ts';
import { readCursor, writeCursor } from '../log-cursor.ts';
import { holdPage } from '../unread-pages.ts';
import { route, type NativeContext } from './route.ts';

const tag = 'logs';
const Params = Type.Object({ pipelineId: IdSchema });
const forms = ['application/json', 'application/x-ndjson', 'application/vnd.apache.arrow.file', 'application/vnd.apache.arrow.stream'] as const;
type Form = (typeof forms)[number];
const defaultRecords = 100;

export function logRoutes(app: FastifyInstance, context: NativeContext): void {
  const { logs } = context.domains;
  route(app, context, 'GET', '/pipelines/:pipelineId/logs', {
    tag, summary: 'Read the inference log of a pipeline', params: Params, query: LogQuerySchema, answer: LogPageSchema,
    description: `By \`Accept\`: ${forms.join(', ')}. Outside JSON, \`potoroo-log-status\` and \`potoroo-log-cursor\` are headers of the answer. One schema a page: a page also ends where the schema changes.`,
  }, async ({ actor, params, query, request, reply }) => {
    const form = formOf(request.headers.accept);
    const signal = holdPage(request, reply);
    return answerPage(reply, await logs.read(actor, { ...params, ...logQuery(query), signal }), form);
  });
  route(app, context, 'GET', '/models/:modelId/logs', {
    tag, summary: 'Read the inferences that a model took part in', params: Type.Object({ modelId: IdSchema }), query: Type.Omit(LogQuerySchema, ['pipelineVersion'], { additionalProperties: false }), answer: LogPageSchema,
    description: 'Records of every pipeline version that has the model in a step, of all pipelines that you may see; as the log of a pipeline otherwise.',
  }, async ({ actor, params, query, request, reply }) => {
    const form = formOf(request.headers.accept);
    const signal = holdPage(request, reply);
    return answerPage(reply, await logs.readModel(actor, { id: params.modelId }, { ...logQuery(query), signal }), form);
  });
  route(app, context, 'GET', '/pipelines/:pipelineId/logs/partitions', {
    tag, summary: 'Row offsets of each partition of a log', description: 'A partition is what one engine or edge wrote.', params: Params, answer: PartitionsSchema,
  }, ({ actor, params }) => logs.partitions(actor, params.pipelineId));
  route(app, context, 'GET', '/pipelines/:pipelineId/log-retention', {
    tag, summary: 'How long and how much of a log is kept', params: Params, answer: LogRetentionSchema,
  }, ({ actor, params }) => logs.retention(actor, params.pipelineId));
  route(app, context, 'PUT', '/pipelines/:pipelineId/log-retention', {
    tag, summary: 'Set how long and how much of a log is kept', params: Params, body: SetLogRetentionSchema, answer: LogRetentionSchema,
    description: 'What is over either bound is removed within the hour, oldest records first. What is null or missing is as the server is set; 0 is without a bound.',
  }, ({ actor, params, body }) => logs.setRetention(actor, params.pipelineId, { days: body.days ?? null, bytes: body.bytes ?? null }));
}

function logQuery({ cursor, start, end, limit = defaultRecords, order = 'desc', ...rest }: ApiLogQuery): Omit<LogQuery, 'pipelineId'> {
  return { ...rest, limit, order, ...(start && { start: new Date(start) }), ...(end && { end: new Date(end) }), ...(cursor !== undefined && { cursor: readCursor(cursor) }) };
}

function answerPage(reply: FastifyReply, { batch, status, next }: LogPage, form: Form): FastifyReply {
  const cursor = next === null ? null : writeCursor(next);
  reply.header('potoroo-log-status', status);
  if (cursor !== null) reply.header('potoroo-log-cursor', cursor);
  reply.header('vary', 'accept').type(form).serializer((body: unknown) => body as string);
  if (form === 'application/vnd.apache.arrow.file') return reply.send(Buffer.from(encodeArrowFile(batch)));
  if (form === 'application/vnd.apache.arrow.stream') return reply.send(Buffer.from(encodeArrowStream(batch)));
  const chunks = form === 'application/x-ndjson' ? lines(batch) : jsonPage(batch, status, cursor);
  return reply.send(Readable.from(chunks, { objectMode: false }));
}

/** Text takes its time: a page is written in so many pieces, or more, and others get a turn after each. */
const pieces = 16;
const rowsAPiece = 1000;

async function* parts(batch: Batch): AsyncGenerator<Batch> {
  const step = Math.max(1, Math.min(rowsAPiece, Math.ceil(batch.rows / pieces)));
  for (let from = 0; from < batch.rows; from += step) {
    if (from > 0) await setImmediate();
    yield slice(batch, from, Math.min(batch.rows, from + step));
  }
}

async function* lines(batch: Batch): AsyncGenerator<Uint8Array> {
  for await (const part of parts(batch)) yield encodeLines(part, '.');
}

/** The records are JSON text already; parsing them would lose integers beyond 2^53. */
async function* jsonPage(batch: Batch, status: LogPage['status'], cursor: string | null): AsyncGenerator<Uint8Array> {
  let between = '{"items":[';
  for await (const part of parts(batch)) {
    yield Buffer.from(between);
    yield encodeRecordsBytes(part, '.').subarray(1, -1);
    between = ',';
  }
  yield Buffer.from(`${batch.rows === 0 ? between : ''}],"status":${JSON.stringify(status)},"cursor":${JSON.stringify(cursor)}}`);
}

/** The form that `Accept` names first; JSON when it takes anything. @throws not_acceptable */
function formOf(accept = '*/*'): Form {
  for (const part of accept.split(',')) {
    const [type = '', ...parameters] = part.replaceAll(' ', '').toLowerCase().split(';');
    if (parameters.some((p) => /^q=0(\.0*)?$/.test(p))) continue;
    const form = type === '*/*' || type === 'application/*' ? 'application/json' : forms.find((f) => f === type);
    if (form !== undefined) return form;
  }
  throw new PotorooError('not_acceptable', `Logs come as ${forms.join(', ')}: ask for one of these in the header Accept.`);
}

