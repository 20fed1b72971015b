import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { accelerators, architectures, type Accelerator, type Architecture } from '@potoroo/contract';
import type { RegisteredModel, RegisteredModelVersion, Registry } from '../../domains/domains.ts';
import { Id, Maybe, post, type Context } from './http.ts';
import { all } from './pages.ts';
import { timeText } from './present.ts';
import { accelOf, Conversion, oneOf, readSchema, uploadOptions } from './upload.ts';

const RegistryId = Type.Object({ registry_id: Type.String() });
const InWorkspace = Type.Object({ registry_id: Type.String(), workspace_id: Id });
/** The answer has to have one; nobody is shown it. */
const hiddenToken = '********';

const registryBody = ({ id, name, url, hasToken, createdAt, updatedAt }: Registry) => ({ id, name, url, token: hasToken ? hiddenToken : '', created_at: timeText(createdAt), updated_at: timeText(updatedAt) });

/** The client builds its object from these keys and no others. */
const versionBody = (v: RegisteredModelVersion) => ({
  name: v.name, version: v.version, run_id: v.runId ?? '', source: v.source, status: v.status, current_stage: v.stage,
  creation_timestamp: v.createdAt.getTime(), last_updated_timestamp: v.updatedAt.getTime(), description: v.description, run_link: v.runLink, user_id: v.userId,
});
const modelBody = (m: RegisteredModel) => ({
  name: m.name, user_id: m.userId ?? '', creation_timestamp: m.createdAt.getTime(), last_updated_timestamp: m.updatedAt.getTime(), latest_versions: m.latestVersions.map(versionBody),
});
/** Versions are numbers, the newest the largest. */
const newestFirst = (a: RegisteredModelVersion, b: RegisteredModelVersion): number => Number(b.version) - Number(a.version);

export function registryRoutes(app: FastifyInstance, { domains: { registries } }: Context): void {
  post(app, '/v1/api/models/create_registry', Type.Object({ name: Type.String(), url: Type.String(), token: Maybe(Type.String()), workspace_id: Maybe(Id) }), async ({ actor, body }) => {
    const { id } = await registries.create(actor, { name: body.name, url: body.url, ...(body.token ? { token: body.token } : {}), ...(body.workspace_id ? { workspaceId: body.workspace_id } : {}) });
    return { id, ...(body.workspace_id ? { workspace_id: body.workspace_id } : {}) };
  });
  post(app, '/v1/api/models/list_registries', Type.Object({ workspace_id: Id }), async ({ actor, body }) => {
    return (await all((page) => registries.list(actor, { ...page, workspaceId: body.workspace_id }))).map(registryBody);
  });
  post(app, '/v1/api/models/get_registry', RegistryId, async ({ actor, body }) => {
    const registry = await registries.get(actor, body.registry_id);
    return { ...registryBody(registry), workspaces: registry.workspaces };
  });
  post(app, '/v1/api/models/attach_registry_to_workspace', InWorkspace, async ({ actor, body }) => {
    return { id: (await registries.addToWorkspace(actor, body.registry_id, body.workspace_id)).id, workspace_id: body.workspace_id };
  });
  post(app, '/v1/api/models/remove_registry_from_workspace', InWorkspace, async ({ actor, body }) => {
    await registries.removeFromWorkspace(actor, body.registry_id, body.workspace_id);
    return { id: body.registry_id, workspace_id: body.workspace_id };
  });

  post(app, '/v1/api/models/list_registry_models', RegistryId, async ({ actor, body }) => {
    return { registered_models: (await all((page) => registries.models(actor, body.registry_id, page))).map(modelBody) };
  });
  post(app, '/v1/api/models/list_registry_model_versions', Type.Object({ registry_id: Type.String(), model_name: Type.String({ minLength: 1, maxLength: 1024 }) }), async ({ actor, body }) => {
    return { model_versions: (await all((page) => registries.versions(actor, body.registry_id, body.model_name, page))).sort(newestFirst).map(versionBody) };
  });
  post(app, '/v1/api/models/list_registry_model_version_artifacts', Type.Object({ registry_id: Type.String(), name: Type.String({ minLength: 1, maxLength: 1024 }), version: Type.String({ minLength: 1, maxLength: 64 }) }), async ({ actor, body }) => {
    const found = await registries.artifacts(actor, body.registry_id, body.name, body.version);
    // The client takes what stands behind the last slash for the name.
    return found.map((a) => ({ path: `/${a.path}`, full_path: a.address, is_dir: a.directory, file_size: a.size ?? 0, modification_time: a.modifiedAt?.getTime() ?? 0 }));
  });

  post(app, '/v1/api/models/upload_from_registry', Type.Object({
    registry_id: Type.String(), path: Type.String({ maxLength: 4096 }), name: Type.String(), workspace_id: Id, conversion: Conversion,
    visibility: Maybe(Type.Union([Type.Literal('private'), Type.Literal('public')])), input_schema: Maybe(Type.String()), output_schema: Maybe(Type.String()), image_path: Maybe(Type.String()),
  }), async ({ actor, body }) => {
    const { conversion, visibility, input_schema, output_schema } = body;
    const version = await registries.upload(actor, body.registry_id, {
      workspaceId: body.workspace_id, name: body.name, path: body.path, framework: conversion.framework, conversion, ...uploadOptions(conversion), visibility: visibility ?? 'private',
      arch: oneOf<Architecture>(architectures, conversion.arch ?? 'x86', 'conversion.arch'), accel: oneOf<Accelerator>(accelerators, accelOf(conversion.accel), 'conversion.accel'),
      ...(input_schema ? { inputSchema: readSchema(input_schema, 'input_schema') } : {}), ...(output_schema ? { outputSchema: readSchema(output_schema, 'output_schema') } : {}),
    });
    return { model_id: version.id };
  });
}
