import { existsSync } from 'node:fs';
import { isPotorooError, PotorooError, type OpsToParent } from '@potoroo/contract';
import { administratorFile } from './administrator.ts';
import { createOps, type Ops } from './app.ts';
import { readSettings } from './settings.ts';

/** `node ops/dist/main.js`: serves until SIGINT or SIGTERM, then drains and stops; a second signal ends it at once. */
async function main(): Promise<void> {
  const settings = readSettings(process.env);
  const ops = await createOps(settings);
  stopOnSignals(ops);
  try {
    const address = await ops.listen();
    const file = administratorFile(settings.dataDir);
    const adminFile = existsSync(file) ? file : null;
    if (process.send === undefined) process.stdout.write(`Potoroo listens on ${address}${adminFile === null ? '' : ` (administrator: ${adminFile})`}\n`);
    else await tell({ type: 'ready', url: address, dataDir: settings.dataDir, adminFile });
  } catch (error) {
    await ops.close();
    throw error;
  }
}

/** Signals, and the end of a parent that started this with a channel. */
function stopOnSignals(ops: Ops): void {
  let stopping = false;
  const stop = () => {
    stopping = true;
    ops.log.info('stopping: engines finish what they have; a second signal ends this at once');
    ops.close().then(() => process.exit(0), fail);
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => (stopping ? process.exit(1) : stop()));
  process.on('disconnect', () => { if (!stopping) stop(); });
}

/** To the process that started this one; contract/ops.ts says how they talk. */
function tell(message: OpsToParent): Promise<void> {
  return new Promise((resolve) => { process.send?.(message, () => resolve()); });
}

async function fail(error: unknown): Promise<never> {
  const { code, message } = isPotorooError(error) ? error : new PotorooError('internal', `Ops failed: ${error instanceof Error ? error.message : String(error)}.`);
  if (process.send === undefined || !process.connected) process.stderr.write(`${code}: ${isPotorooError(error) || !(error instanceof Error) ? message : error.stack}\n`);
  else await tell({ type: 'failed', code, message });
  process.exit(1);
}

main().catch(fail);
