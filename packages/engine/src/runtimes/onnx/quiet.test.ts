import { readdirSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { temporaryFolder, writeBundle } from '../../testing/bundle.ts';
import { endEngines, EngineProcess } from '../../testing/process.ts';

afterAll(endEngines);

/** Files that an engine with one model, and two threads of it, leaves in its home and in the folder for temporary files. */
async function leaves(env: Record<string, string>): Promise<string[]> {
  const home = temporaryFolder();
  const { folder } = writeBundle(['times-2', 'times-3']);
  // Where CI is set it is quiet by itself. The proxy, which is none, keeps what it would send on this machine.
  const engine = new EngineProcess(['--bundle', folder, '--listen', '127.0.0.1:0', '--cpus', '2'], { HOME: home, TMPDIR: home, XDG_CACHE_HOME: home, CI: '', https_proxy: 'http://127.0.0.1:9', ...env });
  await engine.port();
  const found = readdirSync(home, { recursive: true }).map(String);
  engine.child.kill('SIGTERM');
  expect(await engine.exited).toBe(0);
  return found;
}

test('ONNX Runtime keeps what it does to itself, unless it is told to', async () => {
  expect(await leaves({})).toEqual([]);
  expect(await leaves({ ORT_DISABLE_TELEMETRY: '0' })).toContainEqual(expect.stringMatching(/onnxruntime/));
});
