import { text as readAll } from 'node:stream/consumers';
import { Argument, Option, type Command } from 'commander';
import { PotorooError, type Field } from '@potoroo/sdk';
import { architectures, type Architecture } from '@potoroo/contract';
import { action, example, type ContextOf } from '../command.ts';
import { bytesText, show } from '../output.ts';
import { toldLines } from '../progress.ts';
import { readJson } from '../upload-options.ts';

interface Options { username?: string; passwordStdin?: boolean; inputSchema?: string; outputSchema?: string; arch?: Architecture; public?: boolean }

export function addRegisterImage(model: Command, contextOf: ContextOf): void {
  example(model.command('register-image').description("register a container image that serves MLflow's scoring protocol as a model, and wait until it has been pulled and started once")
    .addArgument(new Argument('<name>', 'name of the model'))
    .addArgument(new Argument('<image>', 'image with its registry and tag, such as registry.example.com/team/model:1'))
    .option('-u, --username <name>', 'for its registry; the password is read from standard input')
    .option('--password-stdin', 'read the password for its registry from standard input')
    .option('--input-schema <file>', 'JSON list of the columns it takes, each with name, type and shape; or that list itself')
    .option('--output-schema <file>', 'the same for the columns it gives')
    .addOption(new Option('--arch <arch>', 'processor it is made for').choices(architectures))
    .option('--public', 'let every workspace use it')
    .action(action(contextOf, async (context, name: string, image: string, { username, passwordStdin, inputSchema, outputSchema, arch, public: open }: Options) => {
      if ((username === undefined) !== (passwordStdin !== true)) throw new PotorooError('invalid_request', 'Give --username and --password-stdin together: a password on the command line would be seen by others.');
      const workspace = await context.workspace();
      const credentials = username === undefined ? undefined : { username, password: (await readAll(process.stdin)).trim() };
      const version = await toldLines(context.output, `Registering ${image}`, (onLog) => workspace.registerImage(name, {
        image, ...(credentials && { credentials }), ...(arch && { arch }), ...(open === true && { visibility: 'public' as const }),
        ...(inputSchema !== undefined && { inputSchema: readJson(inputSchema, '--input-schema') as Field[] }), ...(outputSchema !== undefined && { outputSchema: readJson(outputSchema, '--output-schema') as Field[] }),
      }, { signal: context.signal, onLog }));
      show(context.output, version.info, () => `Model ${version.name} is ready: ${version.info.fileName}, ${bytesText(version.info.size)}.`);
    })), 'potoroo model register-image bikes registry.example.com/ml/bikes:1 --input-schema in.json --output-schema out.json', 'pass show registry | potoroo model register-image bikes registry.example.com/ml/bikes:1 -u robot --password-stdin');
}
