import { parentPort, workerData } from 'node:worker_threads';
import type { Batch } from '@potoroo/batch';
import { isPotorooError } from '@potoroo/contract/plain';
import { threadGivesWay } from '../give-way.ts';
import { loadOnnx } from './onnx.ts';
import type { FromWorker, WorkerData } from './pool.ts';
import { detach } from './transfer.ts';

/** One session in a thread of its own: takes a batch, answers a batch. */
const port = parentPort;
if (port === null) throw new Error('This file runs as a worker thread.');
const say = (message: FromWorker, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
const complain = (error: unknown): void => say(isPotorooError(error)
  ? { type: 'error', code: error.code, message: error.message }
  : { type: 'error', code: 'internal', message: 'The model thread failed.' });

try {
  const { file, yields, ...options } = workerData as WorkerData;
  const runtime = await loadOnnx(file, options);
  if (yields === true) threadGivesWay();
  port.on('message', (batch: Batch) => {
    void (async () => {
      try {
        const { batch: answer, transfer } = detach(await runtime.run(batch), false);
        say({ type: 'answer', batch: answer }, transfer);
      } catch (error) {
        complain(error);
      }
    })();
  });
  say({ type: 'ready' });
} catch (error) {
  complain(error);
  port.close();
}
