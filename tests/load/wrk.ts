import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface WrkResult { readonly requests: number; readonly failed: number; readonly errors: string }

/** Throws where wrk is not installed: without load these tests would say nothing. */
export function requireWrk(): void {
  if (spawnSync('wrk', ['--version']).error !== undefined) throw new Error('wrk is not installed, and the load tests need it: apt-get install wrk');
}

/** Steady load by wrk until `work` is done. Everything but an answer below 400 counts as failed. */
export async function underLoad(load: { url: string; token: string; body: string; connections: number; folder: string }, work: () => Promise<void>): Promise<WrkResult> {
  const script = join(load.folder, 'load.lua');
  await writeFile(script, `
wrk.method = "POST"
wrk.body = ${JSON.stringify(load.body)}
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer ${load.token}"
function done(summary)
  local e = summary.errors
  io.write(string.format("RESULT %d %d status=%d connect=%d read=%d write=%d timeout=%d\\n", summary.requests,
    e.status + e.connect + e.read + e.write + e.timeout, e.status, e.connect, e.read, e.write, e.timeout))
end
`);
  const wrk = spawn('wrk', ['-t1', `-c${load.connections}`, '-d600s', '--timeout', '10s', '-s', script, load.url], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(wrk, 'exit');
  let output = '';
  wrk.stdout.setEncoding('utf8').on('data', (text: string) => { output += text; });
  try {
    await work();
  } finally {
    // On SIGINT wrk stops and prints its result.
    wrk.kill('SIGINT');
    await ended;
  }
  const [, requests, failed, errors = ''] = /RESULT (\d+) (\d+) (.*)/.exec(output) ?? [];
  if (requests === undefined) throw new Error(`wrk gave no result: ${output}`);
  return { requests: Number(requests), failed: Number(failed), errors };
}
