import { basename, extname } from 'node:path';
import { Argument, type Command } from 'commander';
import { PotorooError, type ModelVersion } from '@potoroo/sdk';
import { action, collect, example, type ContextOf } from '../command.ts';
import { findModel, findModelVersion } from '../find.ts';
import { bytesText, pairs, show, table } from '../output.ts';
import { addLogs } from './inference.ts';
import { addRegisterImage } from './model-image.ts';
import { addModelVersions, fieldsText } from './model-versions.ts';
import { logText, progress } from '../progress.ts';
import { uploadOptionsOf, withUploadOptions, type GivenOptions } from '../upload-options.ts';

interface UploadOptions extends GivenOptions {
  framework?: string;
  tensorField?: readonly string[];
}

export function addModel(program: Command, contextOf: ContextOf): void {
  const model = program.command('model').description('upload models and look at them');
  example(model, 'potoroo model list');

  example(withUploadOptions(model.command('upload').description('upload a model file; the same bytes again give the same version')
    .addArgument(new Argument('<name>', 'name of the model'))
    .addArgument(new Argument('<file>', 'path of the model file'))
    .option('-f, --framework <framework>', 'what made it, such as onnx, sklearn or python; told by the file name when not given'))
    .option('-t, --tensor-field <name>', "name that replaces the model's own input name; once for each input", collect)
    .action(action(contextOf, async (context, name: string, file: string, options: UploadOptions) => {
      const workspace = await context.workspace();
      const bar = progress(context.output, `Uploading ${basename(file)}`, 'bytes');
      let version: ModelVersion;
      try {
        version = await workspace.uploadModel(name, file, {
          framework: options.framework ?? frameworkOf(file),
          ...uploadOptionsOf(options),
          signal: context.signal,
          onProgress: ({ sent, total }) => {
            bar.update(sent, total);
            if (sent === total) bar.note('loading it once …');
          },
          onLog: (line) => bar.note(logText(line)),
        });
      } finally {
        bar.end();
      }
      if (options.tensorField !== undefined) await version.configure({ tensorFields: [...options.tensorField] }, { signal: context.signal });
      show(context.output, version.info, () => `Model ${version.name} is ready.\n${describe(version)}`);
    })), 'potoroo model upload breast-cancer examples/breast-cancer/model.onnx', 'potoroo model upload churn model.pkl --framework sklearn --input-schema in.json --output-schema out.json -r scikit-learn==1.3.0');

  addRegisterImage(model, contextOf);

  example(model.command('frameworks').description('list what models can be of on this server')
    .action(action(contextOf, async (context) => {
      const found = await context.client.models.frameworks({ signal: context.signal });
      show(context.output, found, () => `${table(
        ['framework', 'runs as', 'file', 'packages'],
        found.frameworks.map((f) => [f.name, f.converts ? `onnx, else ${f.runtime}` : f.runtime, f.archive === 'always' ? 'zip' : f.archive === 'maybe' ? 'file or zip' : 'file', packagesText(f.requirements)]), '',
      )}\nPythons: ${found.pythonVersions.join(', ') || 'none'}`);
    })), 'potoroo model frameworks');

  example(model.command('list').description('list the models of the workspace')
    .action(action(contextOf, async (context) => {
      const workspace = await context.workspace();
      const found = await workspace.models({ signal: context.signal }).toArray();
      show(context.output, found.map((m) => m.info), () => table(
        ['name', 'versions', 'newest', 'framework', 'size', 'status', 'updated'],
        found.map((m) => [m.name, m.versions.length, m.versions[0]?.version, m.versions[0]?.info.framework, bytesText(m.versions[0]?.info.size ?? 0), m.versions[0]?.status, new Date(m.info.updatedAt)]),
        `Workspace ${workspace.name} has no model yet. Upload one with: potoroo model upload <name> <file>`,
      ));
    })), 'potoroo model list');

  example(model.command('show').description('show a model: its versions, inputs and outputs').argument('<name>', 'name of the model')
    .action(action(contextOf, async (context, name: string) => {
      const found = await findModel(context, name);
      const config = await found.latest.config({ signal: context.signal });
      show(context.output, { ...found.info, config }, () => [
        describe(found.latest, config.tensorFields === undefined ? [] : [['tensor fields', config.tensorFields.join(', ')]]),
        '',
        table(['version', 'status', 'size', 'created'], found.versions.map((v) => [v.version, v.status, bytesText(v.info.size), new Date(v.info.createdAt)]), ''),
      ].join('\n'));
    })), 'potoroo model show breast-cancer');

  addModelVersions(model, contextOf);

  example(addLogs(model, contextOf, 'show what a model was asked and what was answered, over all pipelines that have it in a step, newest first', findModel), 'potoroo model logs breast-cancer --limit 5');

  for (const { name, visibility, what } of [
    { name: 'share', visibility: 'public', what: 'let every signed-in user read a model version and take it into pipelines' }, { name: 'unshare', visibility: 'private', what: 'keep a model version to its workspace again' },
  ] as const) {
    example(model.command(name).description(what).argument('<model>', '<name> for its newest version, or <name>@<version>')
      .action(action(contextOf, async (context, reference: string) => {
        const changed = await (await findModelVersion(context, reference)).setVisibility(visibility, { signal: context.signal });
        show(context.output, changed.info, () => `Version ${changed.version} of ${changed.name} is ${visibility}.`);
      })), `potoroo model ${name} breast-cancer`);
  }
}

/** Each package once: the version that newer Pythons get stands first, further ones are for older Pythons. */
function packagesText(requirements: readonly string[]): string {
  const byName = new Map<string, string>();
  for (const line of requirements) {
    const [text = line] = line.split(';');
    const name = /^[\w.-]+/.exec(text)?.[0] ?? text;
    if (!byName.has(name)) byName.set(name, text.trim());
  }
  return [...byName.values()].join(' ');
}

function describe(version: ModelVersion, more: readonly (readonly [string, string])[] = []): string {
  const { info } = version;
  return pairs([
    ['name', info.name], ['version', info.version], ['framework', info.framework], ['file', `${info.fileName} (${bytesText(info.size)})`], ['sha256', info.sha256],
    ['status', info.reason === null ? info.status : `${info.status}: ${info.reason.message}`], ['inputs', fieldsText(info.inputs)], ['outputs', fieldsText(info.outputs)], ...more,
  ]);
}

const endings: Readonly<Record<string, string>> = { '.onnx': 'onnx', '.py': 'python' };

function frameworkOf(file: string): string {
  const found = endings[extname(file).toLowerCase()];
  if (found !== undefined) return found;
  throw new PotorooError('invalid_request', `The framework of ${basename(file)} cannot be told by its name; give --framework (potoroo model frameworks lists them).`);
}
