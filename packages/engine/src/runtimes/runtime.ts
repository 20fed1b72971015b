import type { Batch } from '@potoroo/batch';
import type { Field } from '@potoroo/contract/plain';

export interface Description {
  inputs: Field[];
  outputs: Field[];
  /** Milliseconds of one run on warm-up data, the best of at most three. */
  warmUpMs: number;
  /** Rows of different requests may share a run: each row's output was seen to depend on that row alone. */
  mergeable: boolean;
  /** What a person should know about this model, one sentence each. */
  notes: string[];
}

export interface LoadOptions {
  /** Names that replace the model's own input names, in order. */
  tensorFields?: readonly string[];
  /** Threads one run may use. */
  threads: number;
}

/** What became of requests that were run each by itself. */
export interface Each {
  /** The rows of all that went well, in order. */
  readonly batch: Batch;
  /** How many each of them gave; 0 for those that failed. */
  readonly rows: readonly number[];
  readonly failed: ReadonlyMap<number, Error>;
}

/**
 * What a framework implements. A runtime holds one loaded model that has answered a warm-up inference. `run` takes columns
 * that conform to `describe().inputs` and gives one row out per row in; it throws `inference_failed` (or rejects with it)
 * when the model does. One run at a time for each caller; the scheduler sees to it that there are no more than `slots`.
 */
export interface Runtime {
  describe(): Description;
  run(batch: Batch): Batch | Promise<Batch>;
  /**
   * The rows of several requests, one after the other in `batch`: each request is run by itself, but all are handed over at once. Only
   * where that gains something; `atOnce` tells how many to hand over now.
   */
  runEach?(batch: Batch, rows: readonly number[]): Promise<Each>;
  readonly atOnce?: number;
  /** Runs that can be under way at once. 0: runs happen on the calling thread and are over when `run` returns. */
  readonly slots: number;
  unload(): Promise<void>;
}
