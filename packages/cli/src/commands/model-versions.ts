import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import type { ApiModelConfig } from '@potoroo/contract';
import { PotorooError, type Field, type ModelConfig } from '@potoroo/sdk';
import { action, collect, example, moment, wholeNumber, type ContextOf } from '../command.ts';
import { findModel, findModelVersion } from '../find.ts';
import { bytesText, pairs, show, table } from '../output.ts';

interface ConfigureOptions { tensorField?: readonly string[]; batch?: 'single' | 'many'; filterThreshold?: number; concurrency?: number; inputSchema?: string; outputSchema?: string }
interface SearchOptions { after?: Date; before?: Date; everywhere?: boolean }

/** What can be done with a model after its upload. A model is `<name>` for its newest version, or `<name>@<version>`. */
export function addModelVersions(model: Command, contextOf: ContextOf): void {
  const which = '<name> for its newest version, or <name>@<version>';

  example(model.command('config').description('show how a model version is run').argument('<model>', which)
    .action(action(contextOf, async (context, reference: string) => {
      const config = await (await findModelVersion(context, reference)).config({ signal: context.signal });
      show(context.output, config, () => describe(config));
    })), 'potoroo model config breast-cancer');

  example(model.command('configure').description('say how a model version is run, from the next deploy on; what is not given stays').argument('<model>', which)
    .option('-t, --tensor-field <name>', "name that replaces the model's own input name; once for each input", collect)
    .addOption(new Option('--batch <rows>', 'rows that it takes at once').choices(['single', 'many']))
    .addOption(new Option('--filter-threshold <n>', 'threshold for what it filters').argParser(Number))
    .option('--concurrency <n>', 'requests that each of its processes works on at once, 1 to 64; for models that Python runs', wholeNumber(1))
    .option('--input-schema <file>', 'JSON array of its inputs, as `model show --json` prints them')
    .option('--output-schema <file>', 'JSON array of its outputs')
    .action(action(contextOf, async (context, reference: string, options: ConfigureOptions) => {
      const version = await findModelVersion(context, reference);
      const { id: _id, modelVersionId: _version, runtime: _runtime, batchConfig, ...before } = await version.config({ signal: context.signal });
      const single = options.batch === undefined ? batchConfig === 'single' : options.batch === 'single';
      if (options.filterThreshold !== undefined && !Number.isFinite(options.filterThreshold)) throw new PotorooError('invalid_request', '--filter-threshold has to be a number.');
      const config: ModelConfig = {
        ...before, ...(single ? { batchConfig: 'single' } : {}),
        ...(options.tensorField === undefined ? {} : { tensorFields: [...options.tensorField] }),
        ...(options.filterThreshold === undefined ? {} : { filterThreshold: options.filterThreshold }), ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
        ...(options.inputSchema === undefined ? {} : { inputSchema: fieldsFrom(options.inputSchema) }), ...(options.outputSchema === undefined ? {} : { outputSchema: fieldsFrom(options.outputSchema) }),
      };
      await version.configure(config, { signal: context.signal });
      const now = await version.config({ signal: context.signal });
      show(context.output, now, () => describe(now));
    })), 'potoroo model configure breast-cancer --tensor-field tensor', 'potoroo model configure breast-cancer@0f1c --batch single');

  example(model.command('search').description('find model versions by a part of their name, version, digest or file name, newest first').argument('[text]', 'all when not given', '')
    .option('--after <time>', 'made after: a time, or how long ago, such as 2d', moment)
    .option('--before <time>', 'made before', moment)
    .option('--everywhere', 'in all workspaces that you may see')
    .action(action(contextOf, async (context, text: string, options: SearchOptions) => {
      const workspaceId = options.everywhere === true ? undefined : (await context.workspace()).id;
      const found = await context.client.models.search({
        term: text, signal: context.signal, ...(workspaceId === undefined ? {} : { workspaceId }), ...(options.after === undefined ? {} : { createdAfter: options.after }), ...(options.before === undefined ? {} : { createdBefore: options.before }),
      }).toArray();
      show(context.output, found.map((v) => v.info), () => table(['name', 'version', 'framework', 'file', 'size', 'status', 'workspace', 'created'],
        found.map((v) => [v.name, v.version, v.info.framework, v.info.fileName, bytesText(v.info.size), v.status, v.info.workspaceId, new Date(v.info.createdAt)]), 'No model version fits.'));
    })), 'potoroo model search cancer --after 7d');

  example(model.command('upload-log').description('show what was said when a model version was loaded after its upload').argument('<model>', which)
    .action(action(contextOf, async (context, reference: string) => {
      const lines = await (await findModelVersion(context, reference)).uploadLog({ signal: context.signal });
      show(context.output, lines, () => (lines.length === 0 ? 'Nothing was said.' : lines.join('\n')));
    })), 'potoroo model upload-log breast-cancer');

  example(model.command('delete').description('delete a model version that no pipeline uses').argument('<model>', '<name>@<version>; the name alone where there is one version')
    .action(action(contextOf, async (context, reference: string) => {
      const found = reference.includes('@') ? undefined : await findModel(context, reference);
      if (found !== undefined && found.versions.length > 1) throw new PotorooError('invalid_request', `Model ${found.name} has ${found.versions.length} versions; say which, such as ${found.name}@${found.latest.version.slice(0, 8)}.`);
      const version = await findModelVersion(context, reference);
      await version.delete({ signal: context.signal });
      show(context.output, version.info, () => `Deleted version ${version.version} of model ${version.name}.`);
    })), 'potoroo model delete breast-cancer@0f1c');
}

function describe(config: ApiModelConfig): string {
  return pairs([
    ['runtime', config.runtime], ['tensor fields', config.tensorFields?.join(', ')], ['rows at once', config.batchConfig === 'single' ? 'one' : 'any'], ['filter threshold', config.filterThreshold],
    ['requests at once', config.concurrency], ['inputs', fieldsText(config.inputSchema ?? config.inputs)], ['outputs', fieldsText(config.outputSchema ?? config.outputs)],
  ]);
}

/** `tensor float32[30], …`; a free dimension is `?`. */
export function fieldsText(list: readonly Field[] | null): string {
  return list === null ? 'not known yet' : list.map((f) => `${f.name} ${f.type}${f.shape.length === 0 ? '' : `[${f.shape.map((n) => (n < 0 ? '?' : n)).join(',')}]`}`).join(', ');
}

/** Of what is in it the server says what is wrong. */
function fieldsFrom(file: string): Field[] {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (Array.isArray(value)) return value as Field[];
  } catch { /* said below */ }
  throw new PotorooError('invalid_request', `${file} does not hold a JSON array of fields, such as [{"name": "tensor", "type": "float32", "shape": [30]}].`);
}
