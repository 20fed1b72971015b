import type { Batch, Column } from '@potoroo/batch';
import { PotorooError, type Bundle } from '@potoroo/contract';
import { Metrics } from '../metrics.ts';
import type { Pipeline, PipelineRun } from '../pipeline.ts';
import type { Spool } from '../spool/spool.ts';
import type { Identity, RunColumns, Share } from './answer.ts';
import { answerColumns, Datasets } from './dataset.ts';
import { Scheduler, type Work } from './scheduler.ts';

/** One request's inference, from the moment its rows are read. */
export interface Inference extends Work {
  readonly requestId: string;
  readonly timeMs: number;
  readonly parseNs: number;
  /** Its rows are computed and logged: answer them. */
  answer(share: Share): void;
  /** Its rows are in the answer and in the log: their memory may be used again. */
  release(): void;
}

export interface ServiceOptions {
  bundle: Bundle;
  pipeline: Pipeline;
  spool: Spool | undefined;
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
  readonly #inNames: readonly string[];
  readonly #outNames: readonly string[];

  constructor(options: ServiceOptions) {
    const { bundle, pipeline, spool } = options;
    this.pipeline = pipeline;
    this.bundle = bundle;
    this.spool = spool;
    this.identity = { pipelineName: pipeline.name, pipelineVersion: bundle.pipeline.version, partition: options.partition, lastModel: pipeline.lastModel };
    this.datasets = new Datasets(answerColumns(pipeline.inputs, pipeline.outputs));
    this.#inNames = pipeline.inputs.map((f) => `in.${f.name}`);
    this.#outNames = pipeline.outputs.map((f) => `out.${f.name}`);
    this.scheduler = new Scheduler<Inference>({
      run: (batch) => pipeline.run(batch),
      mergeable: () => pipeline.mergeable,
      slots: pipeline.slots,
      settle: (works, input, run) => this.#settle(works, input, run),
      flushed: () => options.flushed(),
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
    const count: Column = { kind: 'tensor', name: 'anomaly.count', type: 'int8', shape: [], values: new Int8Array(input.rows) };
    columns.push(count);
    byName.set(count.name, count);
    this.spool?.append({
      rows: input.rows,
      columns,
      requests: works.map((w) => ({ rows: w.batch.rows, timeMs: w.timeMs, requestId: w.requestId, elapsedNs: [w.parseNs, ...run.stepNs] })),
      lastModel: this.identity.lastModel,
    });
    metrics.rows += input.rows;
    metrics.runRows.observe(input.rows);
    metrics.runRequests.observe(works.length);
    const shared: RunColumns = { rows: input.rows, byName, outputs: run.outputs, selected: new Map(), stepNs: run.stepNs };
    let from = 0;
    for (const work of works) {
      const { rows } = work.batch;
      work.answer({ run: shared, from, rows, timeMs: work.timeMs, requestId: work.requestId, parseNs: work.parseNs });
      from += rows;
    }
    for (const work of works) work.release();
  }
}
