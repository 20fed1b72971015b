import { randomBytes } from 'node:crypto';
import { fromSystemError, type AccessList, type Bundle, type BundleModel, type Reason } from '@potoroo/contract';
import type { Host } from '../../hosts/host.ts';
import type { DeploymentStatus } from '../domains.ts';
import type { Bundles } from './bundle.ts';
import type { DeploymentRow, DeploymentSpec, DeploymentStore } from './deployments.store.ts';
import { sidekickLimits } from './sidekick-limits.ts';
import { newMemory, plan, type Action, type Bounds, type Memory } from './plan.ts';
import type { Spools } from './spools.ts';
import { statusOf } from './status.ts';

export interface ReconcilerParts {
  readonly store: DeploymentStore;
  readonly host: Host;
  readonly bundles: Bundles;
  readonly spools: Spools;
  readonly clock: () => number;
  readonly bounds: Bounds;
  /** Who may call the engines of a workspace; null lets everybody in. */
  readonly accessList: (workspaceId: number) => Promise<AccessList | null>;
  /** Where engines ship to; null when they keep their spool. */
  readonly shipTo: (deploymentId: number) => Promise<{ url: string; token: string } | null>;
  /** Something may look different now. */
  readonly onChange: (deploymentId: number) => void;
  /** Removes what engines that were killed have left of the containers of their models. */
  readonly sweep?: (() => void) | undefined;
  /** Gets what a model needs beside its file onto this machine. */
  readonly prepare?: ((model: BundleModel) => Promise<void>) | undefined;
  /** An update was finished: what was used before may be collected. */
  readonly onSettled: () => void;
  readonly onError: (deploymentId: number, error: unknown) => void;
}

const retryMs = 2_000;

/**
 * Makes one deployment what its row says, again and again: on every change of the row, every event of the host, and when the
 * plan asks to be woken. One pass at a time; nothing it holds in memory is needed to go on after a restart.
 */
export class Reconciler {
  readonly #id: number;
  readonly #parts: ReconcilerParts;
  #memory: Memory;
  #expect = true;
  #trouble: Reason | null = null;
  #pass: Promise<void> | null = null;
  #sharing: Promise<void> | null = null;
  #again = false;
  #closed = false;
  #timer: NodeJS.Timeout | null = null;
  /** The access list each engine has, as text. */
  readonly #access = new Map<string, string>();

  constructor(id: number, parts: ReconcilerParts) {
    this.#id = id;
    this.#parts = parts;
    this.#memory = newMemory(0, parts.clock());
  }

  /** The wanted set of this generation was given up. */
  failed(generation: number): boolean {
    return this.#memory.generation === generation && this.#memory.failed !== null;
  }

  /** An engine is on its way, so that waiting for it makes sense. */
  expects(row: DeploymentRow): boolean {
    return this.#memory.generation !== row.generation || this.#expect;
  }

  status(row: DeploymentRow): DeploymentStatus {
    const { host } = this.#parts;
    const memory = this.#memory.generation === row.generation ? this.#memory : { ...this.#memory, failed: null };
    return statusOf({ row, engines: host.engines(this.#id), memory, trouble: this.#trouble, limits: [...host.describeLimits(row.spec.limits), ...sidekickLimits(row.spec.bundle)], address: host.address });
  }

  kick(): void {
    this.#again = true;
    if (!this.#closed) this.#pass ??= this.#run().finally(() => { this.#pass = null; });
  }

  /** Stops looking; what runs goes on running. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#pass;
    await this.#sharing;
  }

  async #run(): Promise<void> {
    const { clock, onChange, onError } = this.#parts;
    while (this.#again && !this.#closed) {
      this.#again = false;
      if (this.#timer !== null) clearTimeout(this.#timer);
      let wakeAt: number | null;
      try {
        wakeAt = await this.#once();
      } catch (error) {
        const known = fromSystemError(error, 'Reconciling the deployment');
        if (this.#trouble?.message !== known.message) onError(this.#id, error);
        this.#trouble = { code: known.code, message: known.message };
        wakeAt = clock() + retryMs;
      }
      if (wakeAt !== null && !this.#closed) this.#timer = setTimeout(() => this.kick(), Math.min(Math.max(0, wakeAt - clock()), 2 ** 31 - 1));
      onChange(this.#id);
    }
  }

  /** One pass: look, plan, act. */
  async #once(): Promise<number | null> {
    const { store, host, clock, bounds } = this.#parts;
    const row = await store.byId(this.#id);
    const running = row?.wanted === 'running';
    const port = running ? await this.#openPort(row) : this.#shut();
    const next = plan({
      now: clock(), generation: row?.generation ?? this.#memory.generation + 1,
      wanted: running ? row.spec : null, proven: running ? row.proven : null, refusal: running ? this.#refusal(row.spec) : null,
      engines: host.engines(this.#id), memory: this.#memory,
    }, bounds);
    this.#memory = next.memory;
    for (const action of next.actions) await this.#act(action, row);
    if (running) this.#sharing ??= this.#shareAccess(row).finally(() => { this.#sharing = null; });
    else if (row !== undefined && host.engines(this.#id).length === 0) {
      if (row.port !== null) await store.setPort(this.#id, null);
      this.#parts.onSettled();
    }
    this.#trouble = port;
    return port === null ? next.wakeAt : Math.min(clock() + retryMs, next.wakeAt ?? Number.POSITIVE_INFINITY);
  }

  async #act(action: Action, row: DeploymentRow | undefined): Promise<void> {
    const { host, spools, store } = this.#parts;
    switch (action.do) {
      case 'forget':
        host.forget(action.engine.name);
        if (action.engine.exit?.asked === false && row !== undefined && inContainers(row.spec)) this.#parts.sweep?.();
        this.#access.delete(action.engine.name);
        return spools.collect({ deploymentId: this.#id, partition: action.engine.name });
      case 'promote':
        if (row === undefined || row.provenGeneration === row.generation) return;
        await store.setProven(this.#id, row.spec.replicas === 0 ? null : row.spec, row.generation);
        return this.#parts.onSettled();
      case 'route':
        this.#expect = action.routing.expect;
        return host.route(this.#id, action.routing);
      case 'drain':
        return host.drain(action.name);
      case 'kill':
        return host.kill(action.name, action.reason);
      case 'start': {
        const spec = [row?.spec, row?.proven].find((s) => s?.revision === action.revision);
        if (row !== undefined && spec !== undefined && spec !== null) await this.#start(row, spec, action.slot);
      }
    }
  }

  async #start(row: DeploymentRow, spec: DeploymentSpec, slot: number): Promise<void> {
    const { host, bundles, spools, accessList, shipTo } = this.#parts;
    const name = `engine-${spec.revision.slice(0, 10)}-${randomBytes(3).toString('hex')}`;
    for (const model of spec.bundle.models) await this.#parts.prepare?.(model);
    const bundle = await bundles.folder(bundleOf(spec, this.#id));
    const access = await accessList(row.workspaceId);
    await host.start({
      name, deploymentId: this.#id, revision: spec.revision, slot, bundle, spool: spools.folder({ deploymentId: this.#id, partition: name }),
      limits: spec.limits, access, ops: await shipTo(this.#id),
    });
    this.#access.set(name, JSON.stringify(access));
  }

  /** What is wrong with the port is shown, and stops nothing else: ops still routes to the engines. */
  async #openPort(row: DeploymentRow): Promise<Reason | null> {
    try {
      const port = await this.#parts.host.open(this.#id, row.port);
      if (port !== row.port) await this.#parts.store.setPort(this.#id, port);
      return null;
    } catch (error) {
      const known = fromSystemError(error, 'Opening the port of the deployment');
      if (this.#trouble?.message !== known.message) this.#parts.onError(this.#id, error);
      return { code: known.code, message: known.message };
    }
  }

  #shut(): null {
    this.#parts.host.shut(this.#id);
    return null;
  }

  #refusal(spec: DeploymentSpec): Reason | null {
    const { host } = this.#parts;
    if (spec.refusal !== undefined) return spec.refusal;
    const other = spec.archs.find((arch) => arch !== host.arch);
    if (other !== undefined) {
      return { code: 'arch_mismatch', message: `arch is ${other}, but engines run on ${host.arch} here: upload the model with arch ${host.arch}, or set the arch of the deployment config to it.` };
    }
    const accel = (spec.accels ?? []).find((a) => !host.accels.includes(a));
    if (accel !== undefined) {
      return { code: 'accel_mismatch', message: `accel is ${accel}, but engines run with ${host.accels.length === 0 ? 'no accelerator' : host.accels.join(', ')} here: upload the model with accel ${host.accels[0] ?? 'none'}, and leave the accel of the deployment config to it.` };
    }
    if (spec.limits.gpus > host.gpus) {
      return { code: 'insufficient_gpus', message: `gpus is ${spec.limits.gpus}, but this host has ${host.gpus === 0 ? 'no GPU' : `only ${host.gpus}`}: set gpus to ${host.gpus}.` };
    }
    return null;
  }

  /** Beside the passes: an engine that does not answer must not hold up the others. */
  async #shareAccess(row: DeploymentRow): Promise<void> {
    const { host, accessList, onError } = this.#parts;
    for (const { name, phase } of host.engines(this.#id)) {
      if (phase !== 'ready') continue;
      try {
        const access = await accessList(row.workspaceId);
        const text = JSON.stringify(access);
        if (access === null || this.#access.get(name) === text) continue;
        await host.setAccess(name, access);
        this.#access.set(name, text);
      } catch (error) {
        onError(this.#id, error);
      }
    }
  }
}

/** Whether a model of it runs in a container. */
export const inContainers = ({ bundle }: Pick<DeploymentSpec, 'bundle'>): boolean => bundle.models.some((model) => model.python?.isolation === 'container');

export function bundleOf(spec: DeploymentSpec, deploymentId: number): Bundle {
  return { ...spec.bundle, pipeline: { ...spec.bundle.pipeline, deploymentId } };
}
