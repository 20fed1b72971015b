import { CommanderError, type Command } from 'commander';
import { isPotorooError, PotorooError } from '@potoroo/sdk';
import { Context, type GlobalOptions } from './context.ts';
import { adviceFor, exitCodes } from './exit.ts';
import { processOutput } from './output.ts';
import { makeProgram } from './program.ts';

/** Runs one command line and gives its exit code. */
export async function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort(new Error('interrupted'));
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  let json = args.includes('--json');
  const contextOf = (command: Command): Context => {
    const options = command.optsWithGlobals<GlobalOptions>();
    json = options.json === true;
    return new Context(env, options, processOutput(json), interrupt);
  };
  try {
    await makeProgram(contextOf, json).parseAsync(args, { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has written its own message, or the help that was asked for.
      if (error.exitCode !== 0 && json) report(new PotorooError('invalid_request', error.message.replace(/^error: /, '')), json, env);
      return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    }
    if (interrupt.signal.aborted) return exitCodes.interrupted;
    return report(error, json, env);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

function report(error: unknown, json: boolean, env: NodeJS.ProcessEnv): number {
  const known = isPotorooError(error) ? error : new PotorooError('internal', `This is a fault of the command itself: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  const { exit, next } = adviceFor(known);
  const { code, message, fields } = known;
  const output = processOutput(json);
  if (json) output.err(JSON.stringify({ code, message, ...(fields === undefined ? {} : { fields }), ...(next === undefined ? {} : { next }) }, null, 2));
  else output.err(`Error: ${message}${(fields ?? []).filter((f, _i, all) => !message.includes(f.message) && !(all.length === 1 && message.includes(f.field))).map((f) => `\n  ${f.field}: ${f.message}`).join('')}${next === undefined ? '' : `\n${next}`}`);
  if (env['POTOROO_DEBUG']) output.err(String(known.cause instanceof Error ? known.cause.stack : known.stack));
  return exit;
}
