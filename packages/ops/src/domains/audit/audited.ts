import { isPotorooError } from '@potoroo/contract';
import type { Actor, Connections, Deployments, Domains, Images, Logs, Models, PersonalTokens, Pipelines, Registries, SigningKeys, Tags, Users, Workspaces } from '../domains.ts';
import type { AuditService } from './audit.service.ts';

/** What a change is to be remembered by. Ids alone, so that no password, detail or token can get into a record. */
interface Change { kind: string; objectId?: string | number | undefined; workspaceId?: number | undefined }
type Method = (actor: Actor, ...args: never[]) => Promise<unknown>;
type Methods<S> = { [K in keyof S as S[K] extends Method ? K : never]: S[K] };
/** For each method that changes something: what it changes, from its arguments and, where it came to one, its result. */
type Rules<S> = { [K in keyof Methods<S>]?: S[K] extends (actor: Actor, ...args: infer A) => Promise<infer R> ? (args: A, result: R | undefined) => Change : never };

const keyOf = (key: { id: string } | { name: string }): string | undefined => ('id' in key ? key.id : undefined);
const thingOf = (thing: { modelVersionId: number } | { pipelineId: number }) => ('pipelineId' in thing ? { kind: 'pipeline', objectId: thing.pipelineId } : { kind: 'model version', objectId: thing.modelVersionId });

const users: Rules<Users> = {
  create: (_, user) => ({ kind: 'user', objectId: user?.id }),
  setEnabled: ([id]) => ({ kind: 'user', objectId: id }),
};
const workspaces: Rules<Workspaces> = {
  create: (_, workspace) => ({ kind: 'workspace', objectId: workspace?.id, workspaceId: workspace?.id }),
  setArchived: ([id]) => ({ kind: 'workspace', objectId: id, workspaceId: id }),
  setMember: ([id]) => ({ kind: 'workspace', objectId: id, workspaceId: id }),
  removeMember: ([id]) => ({ kind: 'workspace', objectId: id, workspaceId: id }),
};
const models: Rules<Models> = {
  upload: ([input], version) => ({ kind: 'model version', objectId: version?.id, workspaceId: input.workspaceId }),
  configure: ([versionId]) => ({ kind: 'model version', objectId: versionId }),
  setVisibility: ([versionId]) => ({ kind: 'model version', objectId: versionId }),
  remove: ([versionId]) => ({ kind: 'model version', objectId: versionId }),
};
const pipelines: Rules<Pipelines> = {
  create: ([input], pipeline) => ({ kind: 'pipeline', objectId: pipeline?.id, workspaceId: input.workspaceId }),
  addVersion: ([pipelineId]) => ({ kind: 'pipeline', objectId: pipelineId }),
  removeVersion: ([versionId]) => ({ kind: 'pipeline version', objectId: versionId }),
  remove: ([id]) => ({ kind: 'pipeline', objectId: id }),
};
const deployments: Rules<Deployments> = {
  deploy: ([input], deployment) => ({ kind: 'pipeline', objectId: input.pipelineId, workspaceId: deployment?.workspaceId }),
  undeploy: ([id], deployment) => (deployment === undefined ? { kind: 'deployment', objectId: id } : { kind: 'pipeline', objectId: deployment.pipelineId, workspaceId: deployment.workspaceId }),
};
const logs: Rules<Logs> = {
  setRetention: ([pipelineId]) => ({ kind: 'pipeline', objectId: pipelineId }),
};
const tags: Rules<Tags> = {
  create: (_, tag) => ({ kind: 'tag', objectId: tag?.id }),
  add: ([, to]) => thingOf(to),
  remove: ([, from]) => thingOf(from),
  delete: ([id]) => ({ kind: 'tag', objectId: id }),
};
const connections: Rules<Connections> = {
  create: (_, connection) => ({ kind: 'connection', objectId: connection?.id }),
  // A read, but one of secrets.
  details: ([key]) => ({ kind: 'connection', objectId: keyOf(key) }),
  addToWorkspace: ([key, workspaceId], connection) => ({ kind: 'connection', objectId: connection?.id ?? keyOf(key), workspaceId }),
  removeFromWorkspace: ([key, workspaceId]) => ({ kind: 'connection', objectId: keyOf(key), workspaceId }),
  remove: ([key]) => ({ kind: 'connection', objectId: keyOf(key) }),
};
const images: Rules<Images> = {
  register: ([input], version) => ({ kind: 'model version', objectId: version?.id, workspaceId: input.workspaceId }),
};
const registries: Rules<Registries> = {
  create: ([input], registry) => ({ kind: 'registry', objectId: registry?.id, workspaceId: input.workspaceId }),
  setToken: ([id]) => ({ kind: 'registry', objectId: id }),
  addToWorkspace: ([id, workspaceId]) => ({ kind: 'registry', objectId: id, workspaceId }),
  removeFromWorkspace: ([id, workspaceId]) => ({ kind: 'registry', objectId: id, workspaceId }),
  remove: ([id]) => ({ kind: 'registry', objectId: id }),
  upload: ([, input], version) => ({ kind: 'model version', objectId: version?.id, workspaceId: input.workspaceId }),
};
const personalTokens: Rules<PersonalTokens> = {
  create: (_, token) => ({ kind: 'personal token', objectId: token?.id }),
  revoke: ([id]) => ({ kind: 'personal token', objectId: id }),
};
const signingKeys: Rules<SigningKeys> = {
  rotate: (_, key) => ({ kind: 'signing key', objectId: key?.id }),
  revoke: ([id]) => ({ kind: 'signing key', objectId: id }),
};
const rules = { users, workspaces, models, pipelines, deployments, logs, tags, connections, registries, images, personalTokens, signingKeys };

/** Kinds whose workspace is looked up when the rule cannot tell it. */
type WorkspaceOf = (actor: Actor, change: Change) => Promise<number | undefined>;

/**
 * The domains as the protocols get them: every change through them leaves a record, made or refused. This is the one place that
 * records changes, so that no protocol can forget to; what ops does of itself goes past it. Sign-ins record themselves.
 */
export function audited<D extends Pick<Domains, keyof typeof rules>>(domains: D, audit: Pick<AuditService, 'begin' | 'end'>): D {
  const workspaceOf: WorkspaceOf = async (actor, { kind, objectId }) => {
    if (typeof objectId !== 'number') return undefined;
    const read = kind === 'pipeline version' ? domains.pipelines.version(actor, objectId).then((v) => domains.pipelines.get(actor, v.pipelineId)) : kind === 'pipeline' ? domains.pipelines.get(actor, objectId) : kind === 'model version' ? domains.models.version(actor, objectId) : undefined;
    return read?.then(({ workspaceId }) => workspaceId, () => undefined);
  };
  const wrapped = Object.entries(rules).map(([name, of]) => [name, recording(name, domains[name as keyof typeof rules], of as Readonly<Record<string, Rule>>, workspaceOf, audit)]);
  return { ...domains, ...Object.fromEntries(wrapped) } as D;
}

type Rule = (args: unknown[], result: unknown) => Change;

function recording(name: string, service: object, of: Readonly<Record<string, Rule>>, workspaceOf: WorkspaceOf, audit: Pick<AuditService, 'begin' | 'end'>): object {
  return new Proxy(service, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      // Bound: the services have private fields.
      const method = value.bind(target) as (...args: unknown[]) => Promise<unknown>;
      const rule = typeof property === 'string' && Object.hasOwn(of, property) ? of[property] : undefined;
      if (rule === undefined) return method;
      return async (actor: Actor, ...args: unknown[]) => {
        const early = rule(args, undefined);
        // Looked up first: afterwards it may be gone.
        const before = early.workspaceId ?? (await workspaceOf(actor, early));
        const shown = ({ objectId, workspaceId }: Change) => ({ objectId: objectId === undefined ? null : String(objectId), workspaceId: workspaceId ?? before ?? null });
        const id = await audit.begin(actor, { action: `${name}.${String(property)}`, kind: early.kind, ...shown(early) });
        try {
          const result = await method(actor, ...args);
          await audit.end(id, { ...shown(rule(args, result)), outcome: 'done' });
          return result;
        } catch (error) {
          await audit.end(id, { ...shown(early), outcome: isPotorooError(error) ? error.code : 'internal' });
          throw error;
        }
      };
    },
  });
}
