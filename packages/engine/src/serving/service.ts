import type { Batch, Column } from '@potoroo/batch';
import { PotorooError, type Bundle } from '@potoroo/contract/plain';
import { Metrics } from '../metrics.ts';
import type { Pipeline, PipelineRun } from '../pipeline.ts';
import type { Spool, SpoolGroup } from '../spool/spool.ts';
import type { Identity, RunColumns, Share } from './answer.ts';
import { answerColumns, Datasets } from './dataset.ts';
import { Scheduler, type Work } from './scheduler.ts';
import { Shadows, type ShadowTask } from './shadows.ts';
import { answeringModels, modelOfRow, splitColumn, type RowModels } from './splits.ts';

/** One request's inference, from the moment its rows are read. */
export interface Inference extends Work {
  readonly requestId: string;
  readonly timeMs: number;
  readonly parseNs: number;
  /** It asked for challengers' outputs, and waits for them. */
  readonly waits: boolean;
  /** Its rows are computed and logged: answer them. */
  answer(share: Share): void;
  /** Its rows are in the answer and in the log: their memory may be used again. */
  release(): void;
}

export interface ServiceOptions {
  bundle: Bundle;
  pipeline: Pipeline;
  spool: Spool | undefined;
  /** Where challengers' outputs go, row by row beside the rows of `spool`. */
  shadowSpool?: Spool | undefined;
  partition: string;
  queueRows: number;
  queueBytes: number;
  /** After each run, when the answers of a turn can go out together. */
  flushed(): void;
}

/** Inferences in, answers out: schedules runs of the pipeline, logs each run, and only then has it answered. */
export class Service {
  readonly pipeline: Pipeline;
  readonly bundle: Bundle;
  readonly identity: Identity;
  readonly datasets: Datasets;
  readonly metrics = new Metrics();
  readonly spool: Spool | undefined;
  readonly scheduler: Scheduler<Inference>;
  /** Undefined where nothing is shadowed. */
  readonly shadows: Shadows | undefined;
  readonly #shadowSpool: Spool | undefined;
  readonly #toShow: ShadowTask[] = [];
  readonly #inNames: readonly string[];
  readonly #outNames: readonly string[];

  constructor(options: ServiceOptions) {
    const { bundle, pipeline, spool } = options;
    this.pipeline = pipeline;
    this.bundle = bundle;
    this.spool = spool;
    this.identity = { pipelineName: pipeline.name, pipelineVersion: bundle.pipeline.version, partition: options.partition, lastModel: pipeline.lastModel };
    this.#shadowSpool = options.shadowSpool;
    this.shadows = pipeline.challengers.length === 0 ? undefined : new Shadows({
      challengers: pipeline.challengers, flushed: () => options.flushed(), maxRows: options.queueRows, maxBytes: options.queueBytes,
      record: (task, firstRow, columns) => this.#record(firstRow, { rows: task.rows, columns, requests: task.requests.map(({ rows, timeMs }) => ({ rows, timeMs, requestId: '', elapsedNs: [] })), lastModel: this.identity.lastModel }),
    });
    this.datasets = new Datasets(answerColumns(pipeline), this.shadows?.names);
    this.#inNames = pipeline.inputs.map((f) => `in.${f.name}`);
    this.#outNames = pipeline.outputs.map((f) => `out.${f.name}`);
    this.scheduler = new Scheduler<Inference>({
      run: (batch, works) => pipeline.run(batch, works),
      atOnce: () => pipeline.atOnce,
      slots: pipeline.slots,
      settle: (works, input, run) => this.#settle(works, input, run),
      // Answers go out before anything is done for challengers.
      flushed: () => {
        options.flushed();
        for (const task of this.#toShow.splice(0)) this.shadows?.offer(task);
      },
      maxRows: options.queueRows,
      maxBytes: options.queueBytes,
    });
  }

  /** @throws PotorooError `too_many_rows`, `overloaded` */
  infer(work: Inference): void {
    const { rows } = work.batch;
    if (this.pipeline.single && rows > 1) throw new PotorooError('too_many_rows', `The request has ${rows} rows, but the model is configured with batch_config 'single'. Send one row a request.`);
    this.scheduler.submit(work);
  }

  #settle(works: readonly Inference[], input: Batch, run: PipelineRun): void {
    const { metrics } = this;
    const byName = new Map<string, Column>();
    const columns: Column[] = [];
    const add = (column: Column, name: string): void => {
      const named = { ...column, name };
      columns.push(named);
      byName.set(name, named);
    };
    for (let i = 0; i < this.#inNames.length; i++) add(input.columns[i] as Column, this.#inNames[i] as string);
    for (let i = 0; i < this.#outNames.length; i++) add(run.outputs.columns[i] as Column, this.#outNames[i] as string);
    if (run.splits !== undefined) add(splitColumn(run.splits, input.rows), 'out._model_split');
    const checked = this.pipeline.checks?.run({ rows: input.rows, columns }, works);
    add({ kind: 'tensor', name: '', type: 'int8', shape: [], values: checked?.count ?? new Int8Array(input.rows) }, 'anomaly.count');
    for (const column of checked?.columns ?? []) add(column, column.name);
    const models = this.pipeline.lastIsSplit && run.splits !== undefined ? answeringModels(run.splits) : undefined;
    const firstRow = this.#log({
      rows: input.rows,
      columns,
      requests: works.map((w) => ({ rows: w.batch.rows, timeMs: w.timeMs, requestId: w.requestId, elapsedNs: [w.parseNs, ...run.stepNs] })),
      ...lastModelsOf(models, this.identity.lastModel),
    });
    metrics.rows += input.rows;
    metrics.runRows.observe(input.rows);
    metrics.runRequests.observe(works.length);
    const shared: RunColumns = { rows: input.rows, byName, outputs: run.outputs, selected: new Map(), stepNs: run.stepNs, models, checks: this.pipeline.checks?.names };
    let from = 0;
    const shares = works.map((work): Share => {
      const { rows } = work.batch;
      const share = { run: shared, from, rows, timeMs: work.timeMs, requestId: work.requestId, parseNs: work.parseNs };
      from += rows;
      if (!work.waits) work.answer(share);
      return share;
    });
    // What challengers are to see must stay as it is; the garbage collector has it then.
    if (this.shadows === undefined || run.shadows === undefined) for (const work of works) work.release();
    else this.#shadow(works, shares, run.shadows, firstRow);
  }

  /** Into the log, and the offset of the first row there. */
  #log(group: SpoolGroup): number | undefined {
    const { spool } = this;
    if (spool === undefined) return undefined;
    const firstRow = spool.rows;
    spool.append(group);
    return firstRow;
  }

  #shadow(works: readonly Inference[], shares: readonly Share[], inputs: NonNullable<PipelineRun['shadows']>, firstRow: number | undefined): void {
    const requests = works.map((work, i) => {
      const share = shares[i] as Share;
      const told = { rows: share.rows, timeMs: work.timeMs, requestId: work.requestId };
      if (!work.waits) return told;
      // With a tenth of its time left it does without: a challenger must not fail a request.
      const now = performance.now();
      return { ...told, waitsUntil: now + 0.9 * (work.deadline - now), done: (columns: readonly Column[]) => {
        if (work.gone) return;
        const byName = new Map([...share.run.byName, ...columns.map((c) => [c.name, c] as const)]);
        work.answer({ ...share, run: { ...share.run, byName, selected: new Map() } });
      } };
    });
    this.#toShow.push({ firstRow: this.#shadowSpool === undefined ? undefined : firstRow, rows: shares.reduce((n, share) => n + share.rows, 0), bytes: works.reduce((n, w) => n + w.bytes, 0), requests, inputs });
  }

  /** Rows of the shadow spool have the offsets of the rows they belong to: those that no challenger saw are null there. */
  #record(firstRow: number, group: SpoolGroup): void {
    const spool = this.#shadowSpool;
    if (spool === undefined || this.shadows === undefined) return;
    for (let behind = firstRow - spool.rows; behind > 0; behind -= fillRows) {
      const rows = Math.min(behind, fillRows);
      const timeMs = group.requests[0]?.timeMs ?? 0;
      spool.append({ rows, columns: this.shadows.nulls(rows), requests: [{ rows, timeMs, requestId: '', elapsedNs: [] }], lastModel: group.lastModel });
    }
    spool.append(group);
  }
}

/** Null rows are filled in so many at a time. */
const fillRows = 65_536;

/** Rows that all went to one model are logged as any; otherwise each with its own. */
function lastModelsOf(models: RowModels | undefined, lastModel: Identity['lastModel']): Pick<SpoolGroup, 'lastModel' | 'rowModels'> {
  if (models === undefined) return { lastModel };
  const { choice } = models;
  const one = choice.every((c) => c === choice[0]);
  return one ? { lastModel: modelOfRow(models, 0) } : { lastModel, rowModels: models };
}
