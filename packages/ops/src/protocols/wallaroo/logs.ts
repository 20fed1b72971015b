import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance } from 'fastify';
import { datasets, encodeArrowFile, isWithinDataset, select, type Batch } from '@potoroo/batch';
import { PotorooError } from '@potoroo/contract';
import type { Actor, LogCursor, LogPage, LogQuery } from '../../domains/domains.ts';
import { actorOf } from '../authenticate.ts';
import { holdPage } from '../unread-pages.ts';
import { type Context } from './http.ts';
import { pipelineNamed } from './pipelines.ts';

const arrowFile = 'application/vnd.apache.arrow.file';
const Params = Type.Object({ topic: Type.String({ maxLength: 400 }) });
const Cursor = Type.Union([Type.Null(), Type.Record(Type.String(), Type.Integer({ minimum: 0 }))]);
/** Rows in a page for those who name no number; the client's own default is 100. */
const defaultRows = 1_000;
const mostRows = 1_000_000;

/** A pipeline's log, or that of a model over all pipelines; with `anomalies`, what failed a validation of it. */
type Topic = { anomalies: boolean } & ({ pipelineId: number } | { model: string });

const invalid = (field: string, value: string, rule: string): PotorooError =>
  new PotorooError('invalid_request', `${field} ${JSON.stringify(value.slice(0, 80))} is not right: use ${rule}.`, { fields: [{ field, message: rule }] });

function asTime(field: string, value: string | undefined): Date | undefined {
  if (value === undefined) return undefined;
  const time = new Date(value);
  if (Number.isNaN(time.getTime())) throw invalid(field, value, 'an ISO 8601 time with its offset');
  return time;
}

function asRows(value: string | undefined): number {
  if (value === undefined) return defaultRows;
  const rows = Number(value);
  if (!Number.isInteger(rows) || rows < 0) throw invalid('page_size', value, `a whole number up to ${mostRows}`);
  return Math.min(rows, mostRows);
}

function asOrder(value: string | undefined): 'asc' | 'desc' | undefined {
  if (value === undefined || value === 'asc' || value === 'desc') return value;
  throw invalid('order', value, 'asc or desc');
}

/** Whoever names datasets gets the time as well: the client looks for it in every log that it reads after an inference, asked for or not. */
const withTime = (dataset: string[]): string[] => (dataset.length === 0 ? dataset : ['time', ...dataset]);

/** The query as the client writes it: names may repeat, with or without brackets. */
function readQuery(url: string): Omit<LogQuery, 'pipelineId'> & { dataset: string[]; exclude: string[]; separator: string | null } {
  const query = new URL(url, 'http://ops').searchParams;
  const one = (name: string): string | undefined => query.get(name) ?? undefined;
  // Which columns there are differs from version to version, so that only what is in none of them is refused.
  const many = (name: string): string[] => {
    const names = [...query.getAll(`${name}[]`), ...query.getAll(name)];
    const wrong = names.find((given) => !isWithinDataset(given));
    if (wrong !== undefined) throw invalid(name, wrong, `one of ${datasets.join(', ')}, or a column in one of them, such as out.variable`);
    return names;
  };
  const start = asTime('time.start', one('time.start'));
  const end = asTime('time.end', one('time.end'));
  const order = asOrder(one('order'));
  return {
    limit: asRows(one('page_size')), ...(order && { order }), ...(start && { start }), ...(end && { end }),
    dataset: withTime(many('dataset')), exclude: many('dataset.exclude'), separator: one('dataset.separator') ?? null,
  };
}

/** The client compares times of raw logs as whole numbers of milliseconds. */
const withNumbers = (batch: Batch): Batch => ({
  ...batch, columns: batch.columns.map((c) => (c.kind === 'tensor' && c.name === 'time' ? { ...c, type: 'int64', values: c.values as BigInt64Array } : c)),
});

export function logRoutes(app: FastifyInstance, context: Context): void {
  const { domains: { logs } } = context;

  /** `workspace-<id>-pipeline-<name>-inference` and `model-<name>-inference`, with `-failures` for the rows of it that failed a validation. */
  const topicNamed = async (actor: Actor, topic: string): Promise<Topic> => {
    const missing = (why: string): PotorooError => new PotorooError('log_topic_not_found', `Log topic ${JSON.stringify(topic.slice(0, 100))} ${why}`);
    const [, model, failed] = /^model-(.+)-inference(-failures)?$/.exec(topic) ?? [];
    if (model !== undefined) return { model, anomalies: failed !== undefined };
    const [, workspaceId, name, failures] = /^workspace-(\d{1,15})-pipeline-(.+)-inference(-failures)?$/.exec(topic) ?? [];
    if (workspaceId === undefined || name === undefined) throw missing('does not exist. Ask plateau/get_topic_name for the topic of a pipeline.');
    const { id } = await pipelineNamed(context, actor, Number(workspaceId), name);
    return { pipelineId: id, anomalies: failures !== undefined };
  };

  app.get('/v1/logs/topic/:topic', { schema: { params: Params } }, async (request) => {
    const actor = actorOf(request);
    const topic = await topicNamed(actor, (request.params as { topic: string }).topic);
    return { partitions: await ('model' in topic ? logs.modelPartitions(actor, { name: topic.model }) : logs.partitions(actor, topic.pipelineId)) };
  });

  app.post('/v1/logs/topic/:topic/records', { schema: { params: Params } }, async (request, reply) => {
    const actor = actorOf(request);
    const topic = await topicNamed(actor, (request.params as { topic: string }).topic);
    const cursor: unknown = request.body ?? {};
    if (!Value.Check(Cursor, cursor)) throw new PotorooError('invalid_request', 'The body has to be an object of row offsets by partition, as `next` of the page before; {} for the first page.');
    const { dataset, exclude, separator, ...rest } = readQuery(request.url);
    const query = { ...rest, anomalies: topic.anomalies, signal: holdPage(request, reply), ...(cursor !== null && Object.keys(cursor).length > 0 && { cursor: cursor as LogCursor }) };
    const read = (from: LogCursor | undefined): Promise<LogPage> => {
      const of = from === undefined ? query : { ...query, cursor: from };
      return 'model' in topic ? logs.readModel(actor, { name: topic.model }, of) : logs.read(actor, { ...of, pipelineId: topic.pipelineId });
    };
    let page = await read(undefined);
    // The client takes a page without rows for the end.
    while (page.batch.rows === 0 && page.next !== null) page = await read(page.next);
    // The client reads what it was not asked for: which model answered and what was left out, then drops it itself.
    // An empty page has no columns: the client stumbles over some of them when they have no row.
    const batch = page.batch.rows === 0 ? { rows: 0, columns: [] } : select(page.batch, dataset.includes('*') ? [...dataset, 'metadata'] : dataset, exclude);
    const metadata = { status: JSON.stringify({ status: page.status, next: page.next }) };
    return reply.type(arrowFile).send(Buffer.from(encodeArrowFile(withNumbers(batch), { metadata, separator })));
  });
}
