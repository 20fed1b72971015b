import { describe, expect, test } from 'vitest';
import type { EngineView } from '../../hosts/host.ts';
import type { DeploymentRow, DeploymentSpec } from './deployments.store.ts';
import { newMemory, type Crash, type Memory } from './plan.ts';
import { statusOf, type StatusInput } from './status.ts';

const spec = (revision: string, replicas: number): DeploymentSpec => ({
  revision, replicas, limits: { cpus: 1, memory: 1, gpus: 0 }, archs: ['x86' as const],
  bundle: { format: 1, pipeline: { id: 1, name: 'p', version: `version-${revision}`, versionId: 1, workspaceId: 1, deploymentId: 0 }, steps: [], models: [] },
});
const row = (more: Partial<DeploymentRow>): DeploymentRow => ({
  id: 1, pipelineId: 1, workspaceId: 1, pipelineVersionId: 1, wanted: 'running', generation: 2, config: {}, spec: spec('v1', 2), proven: null, provenGeneration: null, port: 1, createdAt: 0, updatedAt: 0, ...more,
});
const proven = (replicas: number) => ({ spec: spec('v1', replicas), proven: spec('v1', replicas), provenGeneration: 2 });
const updating = { spec: spec('v2', 2), proven: spec('v1', 1), provenGeneration: 1 };
const engine = (name: string, phase: EngineView['phase']): EngineView => ({
  name, revision: name.slice(0, 2), slot: Number(name.at(-1)), spool: '', phase, startedAt: 0, readyAt: null, exit: null, pid: 1, models: [], sidekicks: [], log: ['last words'],
});
/** An engine that is ready, beside which a model has failed so often since it last ran. */
const fallen = (name: string, failures: number, challenger = false): EngineView => ({
  ...engine(name, 'ready'), models: [{ name: 'm', version: 'v', sha: 's', status: 'Running' }, { name: 'other', version: 'w', sha: 's', status: 'Running' }],
  sidekicks: [{
    name: `side-${name}`, model: 'm', version: 'v', modelVersionId: 1, sha: 's', step: 0, challenger, state: failures === 0 ? 'running' : 'error', reason: failures === 0 ? null : { code: 'model_process_lost', message: 'It aborted.', log: ['a line'] },
    restarts: 1, failures, since: 5, pid: null, memoryBytes: null, cpuSeconds: null, log: ['a line'],
  }],
});
const crash = (count: number): Crash => ({ row: count, restarts: count, at: 0, engine: 'engine-gone', reason: { code: 'engine_crashed', message: 'It crashed.', log: ['why'] } });
const memory = (more: Partial<Memory>): Memory => ({ ...newMemory(2, 0), ...more });
const failed: Partial<Memory> = { failed: { code: 'warm_up_failed', message: 'It does not run.' } };

const table: [string, { row?: Partial<DeploymentRow>; engines?: EngineView[]; memory?: Partial<Memory>; trouble?: StatusInput['trouble'] }, string, string | null, number][] = [
  ['nothing is there yet', {}, 'starting', 'starting', 0],
  ['one of two is ready for the first time', { engines: [engine('v1-0', 'ready'), engine('v1-1', 'starting')] }, 'starting', 'starting', 1],
  ['all are ready but that is not stored yet', { engines: [engine('v1-0', 'ready'), engine('v1-1', 'ready')] }, 'starting', 'starting', 2],
  ['all are ready', { row: proven(2), engines: [engine('v1-0', 'ready'), engine('v1-1', 'ready')] }, 'running', null, 2],
  ['scaled to zero', { row: { ...proven(0), proven: null } }, 'running', 'scaled_to_zero', 0],
  ['scaling up', { row: { ...proven(2), provenGeneration: 1 }, engines: [engine('v1-0', 'ready'), engine('v1-1', 'starting')] }, 'updating', 'starting', 1],
  ['an update is under way', { row: updating, engines: [engine('v1-0', 'ready'), engine('v2-0', 'starting')] }, 'updating', 'updating', 1],
  ['an update failed', { row: updating, memory: failed, engines: [engine('v1-0', 'ready')] }, 'degraded', 'warm_up_failed', 1],
  ['a first deployment failed', { memory: failed }, 'error', 'warm_up_failed', 0],
  ['one of two crashed', { row: proven(2), memory: { crashes: { 'v1/1': crash(1) } }, engines: [engine('v1-0', 'ready'), engine('v1-1', 'starting')] }, 'degraded', 'engine_crashed', 1],
  ['the only one crashed once', { row: proven(1), memory: { crashes: { 'v1/0': crash(1) } } }, 'starting', 'engine_crashed', 0],
  ['the only one crashes again and again', { row: proven(1), memory: { crashes: { 'v1/0': crash(3) } } }, 'error', 'engine_crashed', 0],
  ['what crashed is ready again', { row: proven(1), memory: { crashes: { 'v1/0': crash(3) } }, engines: [engine('v1-0', 'ready')] }, 'running', null, 1],
  ['a model of one of two fell', { row: proven(2), engines: [engine('v1-0', 'ready'), fallen('v1-1', 1)] }, 'degraded', 'model_process_lost', 1],
  ['the model of the only one fell', { row: proven(1), engines: [fallen('v1-0', 1)] }, 'starting', 'model_process_lost', 0],
  ['the model of the only one falls again and again', { row: proven(1), engines: [fallen('v1-0', 3)] }, 'error', 'model_process_lost', 0],
  ['a model that fell runs again', { row: proven(1), engines: [fallen('v1-0', 0)] }, 'running', null, 1],
  ['a challenger fell', { row: proven(1), engines: [fallen('v1-0', 3, true)] }, 'running', null, 1],
  ['the port is taken', { row: proven(1), trouble: { code: 'port_in_use', message: 'Taken.' }, engines: [engine('v1-0', 'ready')] }, 'degraded', 'port_in_use', 1],
  ['the disk is full before anything ran', { trouble: { code: 'storage_full', message: 'Full.' } }, 'error', 'storage_full', 0],
  ['undeployed, the last engine finishing', { row: { wanted: 'stopped' }, engines: [engine('v1-0', 'draining')] }, 'stopping', 'stopping', 0],
  ['undeployed', { row: { wanted: 'stopped' } }, 'stopped', 'stopped', 0],
];

describe('the status of a deployment', () => {
  test.each(table)('when %s', (_, situation, state, code, ready) => {
    const status = statusOf({ row: row(situation.row ?? {}), engines: situation.engines ?? [], memory: memory(situation.memory ?? {}), trouble: situation.trouble ?? null, limits: [], address: '127.0.0.1' });
    expect(status).toMatchObject({ state, readyReplicas: ready });
    expect(status.reason?.code ?? null).toBe(code);
    expect(status.reason?.message ?? 'A sentence.').toMatch(/^[A-Z\d].*\.$/);
    // Everything but a running engine says why.
    expect(status.engines.filter((e) => (e.reason === null) !== (e.state === 'running') || e.reason?.log?.length === 0)).toEqual([]);
  });

  test('a model whose sidekick fell is shown so, the others are not', () => {
    const { engines, reason } = statusOf({ row: row(proven(1)), engines: [fallen('v1-0', 1)], memory: memory({}), trouble: null, limits: [], address: '' });
    expect(engines).toMatchObject([{ state: 'running', models: [{ status: 'Error', message: 'It aborted.' }, { status: 'Running' }], sidekicks: [{ name: 'side-v1-0', model: 'm', modelVersion: 'v', state: 'error', restarts: 1, since: new Date(5), log: ['a line'] }] }]);
    expect(reason).toMatchObject({ message: 'Model m does not answer (side-v1-0): It aborted.', log: ['a line'] });
  });

  test('a replica that waits for its restart is shown with what ended the last one', () => {
    const { engines } = statusOf({ row: row(proven(1)), engines: [], memory: memory({ crashes: { 'v1/0': crash(4) } }), trouble: null, limits: [], address: '' });
    expect(engines).toMatchObject([{ name: 'engine-gone', state: 'error', pid: null, restarts: 4, pipelineVersion: 'version-v1', reason: { code: 'engine_crashed', log: ['why'] } }]);
  });
});
