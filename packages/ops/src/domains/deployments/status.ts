import type { DeploymentState, Reason } from '@potoroo/contract';
import type { EngineView, SidekickView } from '../../hosts/host.ts';
import type { DeploymentStatus, EngineStatus, SidekickStatus } from '../domains.ts';
import type { DeploymentRow, DeploymentSpec } from './deployments.store.ts';
import type { Memory } from './plan.ts';

export interface StatusInput {
  readonly row: DeploymentRow;
  readonly engines: readonly EngineView[];
  readonly memory: Memory;
  /** What keeps the loop itself from going on, such as a full disk or a taken port. */
  readonly trouble: Reason | null;
  readonly limits: string[];
  readonly address: string;
}

/** This many crashes in a row with nothing serving is a crash loop, not a hiccup. */
const loop = 3;

export function statusOf(input: StatusInput): DeploymentStatus {
  const { row, engines, memory, limits } = input;
  const { state, reason } = stateOf(input);
  const present = engines.filter((e) => e.phase !== 'exited');
  const shown = [...present.map((e) => engineStatus(e, input)), ...crashed(input, present)];
  const wantedReplicas = row.wanted === 'running' ? row.spec.replicas : 0;
  return {
    state, reason, limits,
    observedGeneration: memory.generation,
    pipelineVersion: serving(input).bundle.pipeline.version,
    current: row.wanted === 'running' && row.proven?.revision === row.spec.revision,
    givenUp: row.wanted === 'running' && memory.failed !== null,
    wantedReplicas,
    readyReplicas: present.filter((e) => answers(e) && e.revision === serving(input).revision).length,
    engines: shown,
  };
}

/** What keeps a model of this engine from answering. Challengers answer nobody. */
const down = (engine: EngineView): SidekickView | undefined => engine.sidekicks.find((s) => s.state === 'error' && !s.challenger);
const answers = (engine: EngineView): boolean => engine.phase === 'ready' && down(engine) === undefined;

/** The set that answers now: the wanted one once it is proven, until then the one before it. */
function serving({ row }: StatusInput): DeploymentSpec {
  return row.wanted === 'running' && row.proven !== null ? row.proven : row.spec;
}

function stateOf({ row, engines, memory, trouble }: StatusInput): { state: DeploymentState; reason: Reason | null } {
  const name = row.spec.bundle.pipeline.name;
  const present = engines.filter((e) => e.phase !== 'exited');
  if (row.wanted === 'stopped') {
    if (present.length > 0) return { state: 'stopping', reason: { code: 'stopping', message: `${present.length} engine${present.length === 1 ? '' : 's'} of ${name} still finish${present.length === 1 ? 'es' : ''} what is under way.` } };
    return { state: 'stopped', reason: { code: 'stopped', message: `Pipeline ${name} is not deployed.` } };
  }
  const { spec, proven } = row;
  const ready = (s: DeploymentSpec): number => present.filter((e) => answers(e) && e.revision === s.revision).length;
  const crash = worst(memory, spec, present) ?? (proven === null ? null : worst(memory, proven, present));
  const updating = proven !== null && proven.revision !== spec.revision;
  const fallen = present.filter((e) => e.phase === 'ready').flatMap((e) => down(e) ?? []).toSorted((a, b) => b.failures - a.failures)[0];
  const wrong = memory.failed ?? trouble ?? crash?.reason ?? (fallen === undefined ? null : fallenReason(fallen));
  const up = ready(spec) + (updating ? ready(proven) : 0);

  if (memory.failed !== null && updating && up > 0) {
    const [to, before] = [spec.bundle.pipeline.version, proven.bundle.pipeline.version];
    const what = to === before ? `The update of ${name} failed and what ran before serves on` : `The update to ${to} failed and ${before} serves on`;
    return { state: 'degraded', reason: { ...memory.failed, message: `${what}: ${memory.failed.message}` } };
  }
  // Not before it is stored that the set is proven: an update that came earlier would have nothing to fall back on.
  if (!updating && wrong === null && ready(spec) >= spec.replicas && row.provenGeneration === row.generation) {
    return { state: 'running', reason: spec.replicas === 0 ? { code: 'scaled_to_zero', message: `Pipeline ${name} has 0 replicas: deploy it with a replica_count of 1 or more to infer.` } : null };
  }
  if (wrong !== null) {
    const hopeless = up === 0 && (memory.failed !== null || (crash?.row ?? 0) >= loop || (fallen?.failures ?? 0) >= loop || (crash === null && fallen === undefined && proven === null));
    // Degraded is what serves and is not whole; what serves not at all is on its way, or an error.
    return { state: hopeless ? 'error' : up === 0 ? 'starting' : 'degraded', reason: up === 0 || updating ? wrong : { ...wrong, message: `${ready(spec)} of ${spec.replicas} engines are ready: ${wrong.message}` } };
  }
  if (updating) {
    const [to, before] = [spec.bundle.pipeline.version, proven.bundle.pipeline.version];
    const what = to === before ? `new engines of ${name} are ready; those of before serve` : `engines of version ${to} are ready; ${before} serves`;
    return { state: 'updating', reason: { code: 'updating', message: `${ready(spec)} of ${spec.replicas} ${what} until all are.` } };
  }
  const starting: Reason = { code: 'starting', message: `${ready(spec)} of ${spec.replicas} engines of ${name} are ready.` };
  return { state: up > 0 && proven !== null ? 'updating' : 'starting', reason: starting };
}

function fallenReason({ name, model, reason }: SidekickView): Reason {
  return { ...reason, code: reason?.code ?? 'model_process_lost', message: `Model ${model} does not answer (${name}): ${reason?.message ?? 'its process has ended.'}` };
}

/** The crash with the most repetitions among the slots of a set that have no ready engine. */
function worst(memory: Memory, spec: DeploymentSpec, present: readonly EngineView[]): Memory['crashes'][string] | null {
  const open = Object.entries(memory.crashes).filter(([key]) => key.startsWith(`${spec.revision}/`)
    && !present.some((e) => e.phase === 'ready' && key === `${e.revision}/${e.slot}`));
  return open.map(([, crash]) => crash).toSorted((a, b) => b.row - a.row)[0] ?? null;
}

const versionOf = (revision: string, { row }: StatusInput): string =>
  (row.proven?.revision === revision ? row.proven : row.spec).bundle.pipeline.version;

function engineStatus(engine: EngineView, input: StatusInput): EngineStatus {
  const key = `${engine.revision}/${engine.slot}`;
  const crash = input.memory.crashes[key];
  const reasons: Record<'starting' | 'draining', Reason> = {
    starting: { code: 'starting', message: `Engine ${engine.name} is loading its models.`, log: [...engine.log] },
    draining: { code: 'draining', message: `Engine ${engine.name} finishes what is under way, then stops.`, log: [...engine.log] },
  };
  return {
    name: engine.name,
    state: engine.phase === 'ready' ? 'running' : engine.phase === 'draining' ? 'draining' : 'starting',
    reason: engine.phase === 'starting' || engine.phase === 'draining' ? reasons[engine.phase] : null,
    pipelineVersion: versionOf(engine.revision, input),
    address: input.address, pid: engine.pid, restarts: crash?.restarts ?? 0,
    models: engine.models.map((model) => {
      const wrong = engine.sidekicks.find((s) => s.state === 'error' && s.version === model.version && s.model === model.name)?.reason;
      return wrong == null ? model : { ...model, status: 'Error', message: wrong.message };
    }),
    sidekicks: engine.sidekicks.map(sidekickStatus), startedAt: new Date(engine.startedAt),
  };
}

function sidekickStatus({ name, model, version, step, state, reason, restarts, since, pid, memoryBytes, cpuSeconds, log }: SidekickView): SidekickStatus {
  return { name, model, modelVersion: version, step, state, reason, restarts, since: new Date(since), pid, memoryBytes, cpuSeconds, log: [...log] };
}

/** Replicas that are down between two starts. */
function crashed(input: StatusInput, present: readonly EngineView[]): EngineStatus[] {
  if (input.row.wanted === 'stopped') return [];
  return Object.entries(input.memory.crashes)
    .filter(([key]) => !present.some((e) => `${e.revision}/${e.slot}` === key))
    .map(([key, crash]) => ({
      name: crash.engine, state: 'error', reason: crash.reason, pipelineVersion: versionOf(key.slice(0, key.lastIndexOf('/')), input),
      address: null, pid: null, restarts: crash.restarts, models: [], sidekicks: [], startedAt: new Date(crash.at),
    }));
}
