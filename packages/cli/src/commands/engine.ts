import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { engineNode } from '@potoroo/contract';
import { PotorooError } from '@potoroo/sdk';
import { action, example, type ContextOf } from '../command.ts';

/** The built entry of the engine, which lies beside this package; it is started, never imported. */
const engineMain = fileURLToPath(new URL('../../../engine/dist/main.js', import.meta.url));

export function addEngine(program: Command, contextOf: ContextOf): void {
  example(program.command('engine').description('serve one bundle: the engine that ops runs, on its own')
    .requiredOption('-b, --bundle <folder>', 'folder with pipeline.json and its model files')
    .option('-l, --listen <address>', 'HOST:PORT to listen on', '127.0.0.1:8081')
    .option('--spool <folder>', 'keep the log of inferences there; none is kept without it')
    .option('--access <file>', 'list of who may call it; everybody may without it')
    .option('--cpus <n>', 'CPUs to use')
    .option('--memory <bytes>', 'memory above which it stops')
    .action(action(contextOf, async (context, options: Record<string, string>) => {
      const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
      const child = spawn(process.execPath, [...engineNode(options['memory'] === undefined ? undefined : Number(options['memory'])), engineMain, ...args], { stdio: 'inherit', env: context.env });
      const stop = (): void => { child.kill('SIGTERM'); };
      context.signal.addEventListener('abort', stop);
      const [code, signal] = await once(child, 'exit') as [number | null, NodeJS.Signals | null];
      if (code === 0 || context.signal.aborted) return;
      throw new PotorooError('engine_start_failed', `The engine stopped with ${code === null ? `signal ${signal}` : `exit code ${code}`}; see its last lines above.`);
    })), 'potoroo engine --bundle ./my-bundle --listen 127.0.0.1:8081');
}
