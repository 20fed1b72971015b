import { text as readAll } from 'node:stream/consumers';
import { Option, type Command } from 'commander';
import { PotorooError, type ApiRegistryArtifact, type Registry } from '@potoroo/sdk';
import { action, example, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { bytesText, show, table } from '../output.ts';
import { toldLines } from '../progress.ts';
import { uploadOptionsOf, withUploadOptions, type GivenOptions } from '../upload-options.ts';

interface UploadOptions extends GivenOptions { framework: string }

export function addRegistry(program: Command, contextOf: ContextOf): void {
  const registry = program.command('registry').description('connect MLflow servers and upload models from them');
  example(registry, 'potoroo registry list');

  example(registry.command('list').description('list the model registries that you may see')
    .option('--here', 'only those of the current workspace')
    .action(action(contextOf, async (context, options: { here?: boolean }) => {
      const workspaceId = options.here === true ? (await context.workspace()).id : undefined;
      const found = await context.client.registries.list({ ...(workspaceId === undefined ? {} : { workspaceId }), signal: context.signal }).toArray();
      show(context.output, found.map((r) => r.info), () => table(
        ['name', 'url', 'token', 'workspaces', 'id'], found.map((r) => [r.name, r.url, r.info.hasToken ? 'yes' : 'none', r.info.workspaces.map((w) => w.name).join(', '), r.id]),
        'There is no model registry that you may see. Connect one with: potoroo registry create <name> <url>',
      ));
    })), 'potoroo registry list --here');

  example(registry.command('create').description('connect a registry, in the current workspace; its token is kept encrypted').argument('<name>', 'what to call it').argument('<url>', 'address of the MLflow server, without /api at its end')
    .option('--token-stdin', 'read its token from standard input; `Basic …` and `Bearer …` are sent as they are')
    .action(action(contextOf, async (context, name: string, url: string, options: { tokenStdin?: boolean }) => {
      const workspace = await context.workspace();
      const token = options.tokenStdin === true ? (await readAll(process.stdin)).trim() : '';
      const created = await context.client.registries.create({ name, url, workspaceId: workspace.id, ...(token === '' ? {} : { token }) }, { signal: context.signal });
      show(context.output, created.info, () => `Workspace ${workspace.name} has registry ${created.name}. See its models with: potoroo registry models ${created.name}`);
    })), 'potoroo registry create lab http://127.0.0.1:5000', 'pass show mlflow | potoroo registry create lab https://mlflow.example.com --token-stdin');

  const withRegistry = (command: Command): Command => command.argument('<registry>', 'name or id');
  example(withRegistry(registry.command('token').description('renew the token of a registry that you made, or take it away'))
    .addOption(new Option('--token-stdin', 'read the new token from standard input').conflicts('none'))
    .option('--none', 'take the token away')
    .action(action(contextOf, async (context, name: string, options: { tokenStdin?: boolean; none?: boolean }) => {
      if (options.none !== true && options.tokenStdin !== true) throw new PotorooError('invalid_request', 'Give the new token with --token-stdin, or --none to take the old one away.');
      const found = await findRegistry(context, name);
      const changed = await found.setToken(options.none === true ? null : (await readAll(process.stdin)).trim(), { signal: context.signal });
      show(context.output, changed.info, () => (changed.info.hasToken ? `Registry ${changed.name} has a new token.` : `Registry ${changed.name} has no token.`));
    })), 'pass show mlflow | potoroo registry token lab --token-stdin', 'potoroo registry token lab --none');

  example(withRegistry(registry.command('models').description('list the models of a registry'))
    .action(action(contextOf, async (context, name: string) => {
      const found = await (await findRegistry(context, name)).models({ signal: context.signal }).toArray();
      show(context.output, found, () => table(['model', 'newest versions', 'description', 'updated'], found.map((m) => [m.name, m.latestVersions.map((v) => v.version).join(', '), m.description, new Date(m.updatedAt)]), 'The registry has no model.'));
    })), 'potoroo registry models lab');

  example(withRegistry(registry.command('versions').description('list the versions of a model in a registry')).argument('<model>', 'name of the model there')
    .action(action(contextOf, async (context, name: string, model: string) => {
      const found = await (await findRegistry(context, name)).versions(model, { signal: context.signal }).toArray();
      show(context.output, found, () => table(['version', 'status', 'stage', 'description', 'created'], found.map((v) => [v.version, v.status, v.stage, v.description, new Date(v.createdAt)]), `The registry has no version of ${model}.`));
    })), 'potoroo registry versions lab iris');

  example(withRegistry(registry.command('artifacts').description('list the files of a model version in a registry')).argument('<model>', 'name of the model there').argument('<version>', 'version of the model there')
    .action(action(contextOf, async (context, name: string, model: string, version: string) => {
      const found = await (await findRegistry(context, name)).artifacts(model, version, { signal: context.signal });
      const size = (a: ApiRegistryArtifact): string => (a.directory ? 'folder' : a.size === null ? '' : bytesText(a.size));
      show(context.output, found, () => table(['file', 'size', 'path to upload it by'], found.map((a) => [a.path, size(a), a.address]), 'The version has no file.'));
    })), 'potoroo registry artifacts lab iris 2');

  example(withUploadOptions(withRegistry(registry.command('upload').description('upload a model from a registry to the current workspace, and wait until it is ready'))
    .argument('<path>', 'models:/<model>/<version>, models:/<model>@<alias>, or the path of a listed file').argument('<name>', 'name of the model here')
    .option('-f, --framework <framework>', 'what made it; mlflow runs whole MLflow models', 'mlflow'))
    .action(action(contextOf, async (context, name: string, path: string, model: string, options: UploadOptions) => {
      const workspace = await context.workspace();
      const found = await findRegistry(context, name);
      const version = await toldLines(context.output, `Uploading ${path}`, (onLog) => found.upload(workspace.id, model, path, { framework: options.framework, ...uploadOptionsOf(options), signal: context.signal, onLog }));
      show(context.output, version.info, () => `Model ${version.name} is ready: ${version.info.fileName}, ${version.info.framework}, ${bytesText(version.info.size)}.`);
    })), 'potoroo registry upload lab models:/iris/2 iris', 'potoroo registry upload lab models:/iris@champion/model.pkl iris -f sklearn --input-schema in.json --output-schema out.json');

  example(withRegistry(registry.command('add').description('add a registry to the current workspace'))
    .action(action(contextOf, async (context, name: string) => {
      const workspace = await context.workspace();
      const added = await (await findRegistry(context, name)).addToWorkspace(workspace.id, { signal: context.signal });
      show(context.output, added.info, () => `Workspace ${workspace.name} has registry ${added.name}.`);
    })), 'potoroo registry add lab --workspace fraud');

  example(withRegistry(registry.command('remove').description('take a registry out of the current workspace'))
    .action(action(contextOf, async (context, name: string) => {
      const workspace = await context.workspace();
      const found = await findRegistry(context, name);
      await found.removeFromWorkspace(workspace.id, { signal: context.signal });
      show(context.output, { id: found.id, workspaceId: workspace.id }, () => `Workspace ${workspace.name} no longer has registry ${found.name}.`);
    })), 'potoroo registry remove lab --workspace fraud');

  example(withRegistry(registry.command('delete').description('delete a registry that is in no workspace; models uploaded from it stay'))
    .action(action(contextOf, async (context, name: string) => {
      const found = await findRegistry(context, name);
      await found.delete({ signal: context.signal });
      show(context.output, found.info, () => `Deleted registry ${found.name}.`);
    })), 'potoroo registry delete lab');
}

async function findRegistry(context: Context, name: string): Promise<Registry> {
  const found = await context.client.registries.list({ name, signal: context.signal }).toArray(2);
  if (found.length > 1) throw new PotorooError('invalid_request', `There is more than one registry named ${JSON.stringify(name)}; give its id (potoroo registry list).`);
  if (found[0] !== undefined) return found[0];
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name)) return context.client.registries.get(name, { signal: context.signal });
  throw new PotorooError('registry_not_found', `There is no registry ${JSON.stringify(name)} that you may see.`);
}
