import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Potoroo } from '@potoroo/sdk';
import type { Ops } from './ops.ts';

/** A header file for curl (`-H @file`) whose token is good as long as the server runs. */
export interface Header {
  readonly path: string;
  readonly client: Potoroo;
}

/** Milliseconds after which a failed renewal is tried again. */
const retry = 5000;

/**
 * Keeps `token.header` in the data folder: readable only by its owner, like the password beside it, renewed when half of
 * the token's life is over, removed when the server stops.
 */
export async function keepHeader(ops: Ops, who: { username: string; password: string }, signal: AbortSignal): Promise<Header> {
  const path = join(ops.dataDir, 'token.header');
  const client = new Potoroo({ url: ops.url, ...who });
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    clearTimeout(timer);
    rmSync(path, { force: true });
  };
  const renew = async (): Promise<void> => {
    const { accessToken, expiresAt } = await client.renew({ signal });
    write(path, `Authorization: Bearer ${accessToken}\n`);
    again((expiresAt - Date.now()) / 2);
  };
  const again = (delay: number): void => {
    if (signal.aborted) return stop();
    timer = setTimeout(() => { renew().catch(() => again(retry)); }, Math.max(1000, delay));
    timer.unref();
  };
  await renew();
  signal.addEventListener('abort', stop, { once: true });
  void ops.exited.then(stop);
  return { path, client };
}

function write(path: string, text: string): void {
  const beside = `${path}.new`;
  writeFileSync(beside, text, { mode: 0o600 });
  chmodSync(beside, 0o600);
  renameSync(beside, path);
}
