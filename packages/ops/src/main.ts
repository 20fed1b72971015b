import { existsSync } from 'node:fs';
import { isPotorooError, type OpsToParent } from '@potoroo/contract';
import { administratorFile } from './administrator.ts';
import { createOps, type Ops } from './app.ts';
import { checkInterpreter } from './domains/environments/interpreters.ts';
import { readSettings } from './settings.ts';
import { fromDatabaseError } from './storage/errors.ts';

/**
 * `node ops/dist/main.js`: serves until SIGINT or SIGTERM, then drains and stops; a second signal ends it at once. A process
 * that started it with a channel is told when it serves or why it does not, and takes it along when it goes away.
 */
async function main(): Promise<void> {
  const settings = readSettings(process.env);
  // Looked for where it is needed; here, so that a wrong one stops the start.
  if (settings.python !== undefined) await checkInterpreter(settings.python);
  const ops = await createOps(settings);
  stopOnRequest(ops);
  try {
    const url = await ops.listen();
    const file = administratorFile(settings.dataDir);
    const adminFile = existsSync(file) ? file : null;
    if (process.send === undefined) process.stdout.write(`Potoroo listens on ${url}${adminFile === null ? '' : ` (administrator: ${adminFile})`}\n`);
    else await tell({ type: 'ready', url, dataDir: settings.dataDir, adminFile });
  } catch (error) {
    await ops.close();
    throw error;
  }
}

function stopOnRequest(ops: Ops): void {
  let stopping = false;
  const stop = () => {
    if (stopping) process.exit(1);
    stopping = true;
    ops.log.info('stopping: engines finish what they have; a second signal ends this at once');
    ops.close().then(() => process.exit(0), fail);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.once('disconnect', () => { if (!stopping) stop(); });
}

/** To the process that started this one; contract/ops.ts says how they talk. */
function tell(message: OpsToParent): Promise<void> {
  return new Promise((resolve) => { process.send?.(message, () => resolve()); });
}

async function fail(thrown: unknown): Promise<never> {
  const error = fromDatabaseError(thrown);
  if (process.send === undefined || !process.connected) {
    // Only what nobody foresaw needs a stack, and then the person who mends it does.
    const stack = !isPotorooError(thrown) && error.code === 'internal' && thrown instanceof Error ? `${thrown.stack ?? ''}\n` : '';
    process.stderr.write(`${error.code}: ${error.message}\n${stack}`);
  } else {
    await tell({ type: 'failed', code: error.code, message: error.message });
  }
  process.exit(1);
}

main().catch(fail);
