import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';

test('a line that nobody reads any more, as after the end of the host, is no error', async () => {
  const program = `import { log } from ${JSON.stringify(new URL('../dist/log.js', import.meta.url).href)};
    process.on('uncaughtException', () => process.exit(9));
    process.stdin.on('end', () => { log.info('one'); process.stdout.write('two', () => setImmediate(() => { log.info('three'); setImmediate(() => process.exit(0)); })); }).resume();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdout.destroy();
  child.stdin.end();
  expect(await once(child, 'exit')).toEqual([0, null]);
});
