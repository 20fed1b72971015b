import { accelerators, architectures, DeploymentConfigSchema, isolations, PotorooError, type Accelerator, type Architecture, type DeploymentConfig, type Isolation, type PythonModel } from '@potoroo/contract';
import { Value } from '@sinclair/typebox/value';
import type { EngineLimits } from '../../hosts/host.ts';
import type { Wanted } from './placement.ts';

/** What a deployment config asks for, its defaults filled in: those of the guide for native runtimes. */
export interface Wish { readonly replicas: number; readonly limits: EngineLimits; readonly arch: Architecture | undefined; readonly accel: Accelerator | undefined }

const defaults = { cpus: 4, memory: '3Gi' };
const gpuResources = ['nvidia.com/gpu', 'gpu.intel.com/i915', 'amd.com/gpu', 'qualcomm.com/qaic'];
const largestMemory = 2 ** 50;
/** Nothing runs in less: most likely the unit is missing. */
const smallestMemory = 2 ** 20;

const bad = (field: string, value: unknown, rule: string): PotorooError =>
  new PotorooError('invalid_request', `${field} is ${JSON.stringify(value)}: use ${rule}.`, { fields: [{ field, message: `use ${rule}` }] });

/** @throws invalid_request naming the field, its value and what would be right */
export function readConfig(config: unknown): Wish {
  const wrong = Value.Errors(DeploymentConfigSchema, config).First();
  if (wrong !== undefined) throw bad(wrong.path.slice(1).replaceAll('/', '.') || 'config', wrong.value, `a value that fits: ${wrong.message.toLowerCase()}`);
  const { engine = {} } = config as DeploymentConfig;
  const { limits = {}, requests = {} } = engine.resources ?? {};
  const cpu = cpus('engine.cpu', engine.cpu) ?? cpus('engine.resources.limits.cpu', limits.cpu) ?? cpus('engine.resources.requests.cpu', requests.cpu);
  const memory = bytes('engine.resources.limits.memory', limits.memory) ?? bytes('engine.resources.requests.memory', requests.memory);
  const gpus = Math.max(whole('engine.gpu', engine.gpu), gpusOf('engine.gpu', limits));
  return {
    replicas: replicas(engine),
    limits: { cpus: cpu ?? defaults.cpus, memory: memory ?? parseMemory(defaults.memory) ?? 0, gpus },
    ...targetOf('engine', engine),
  };
}

/** How one model runs beside its engine, and on which architecture where the config says one. */
export type Sidekick = Pick<PythonModel, 'cpus' | 'memoryBytes' | 'env' | 'gpus' | 'isolation' | 'network'>;

/**
 * What `sidekick_cpus`, `sidekick_memory`, `sidekick_gpus`, `sidekick_env` and `sidekick_arch` say of one model, `key` being
 * `<model name>-<model version id>`, and where it is to run: `isolation` and `network` of its entry, else of `engineAux`, else `otherwise`.
 * @throws invalid_request
 */
export function readSidekick(config: DeploymentConfig, key: string, otherwise: Isolation = 'process'): { sidekick: Sidekick } & Wanted {
  const all = (config.engineAux ?? {}) as Placement;
  const image = (config.engineAux?.images?.[key] ?? {}) as Placement & { resources?: Record<'limits' | 'requests', Record<string, string | number> | undefined>; env?: unknown; arch?: unknown; accel?: unknown };
  const { limits = {}, requests = {} } = image.resources ?? { limits: {}, requests: {} };
  const field = `engineAux.images.${key}`;
  const cpu = cpus(`${field}.resources.limits.cpu`, limits['cpu']) ?? cpus(`${field}.resources.requests.cpu`, requests['cpu']);
  const memory = bytes(`${field}.resources.limits.memory`, limits['memory']) ?? bytes(`${field}.resources.requests.memory`, requests['memory']);
  const gpus = gpusOf(`${field}.resources.limits`, limits);
  const env = (Array.isArray(image.env) ? image.env : []) as { name?: unknown; value?: unknown }[];
  const wrong = env.find((e) => typeof e?.name !== 'string' || typeof e.value !== 'string' || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(e.name));
  if (wrong !== undefined) throw bad(`${field}.env`, wrong, 'entries with a name and a value, both texts');
  const isolation = isolationOf(`${field}.isolation`, image.isolation) ?? isolationOf('engineAux.isolation', all.isolation) ?? otherwise;
  const network = flag(`${field}.network`, image.network) ?? flag('engineAux.network', all.network) ?? false;
  return {
    ...targetOf(field, image),
    sidekick: {
      ...(cpu !== undefined && { cpus: cpu }), ...(memory !== undefined && { memoryBytes: memory }), ...(gpus > 0 && { gpus }),
      ...(env.length > 0 && { env: Object.fromEntries(env.map((e) => [e.name, e.value])) as Record<string, string> }),
      ...(isolation === 'container' && { isolation }), ...(network && { network }),
    },
  };
}

/** Null is nothing said; an accelerator may come as one key with its settings. */
function targetOf(field: string, { arch, accel }: { arch?: unknown; accel?: unknown }): Wanted {
  const oneOf = <T extends string>(name: string, value: unknown, words: readonly T[]): T | undefined => {
    if (value !== undefined && value !== null && !words.includes(value as T)) throw bad(`${field}.${name}`, value, `one of ${words.join(', ')}`);
    return (value ?? undefined) as T | undefined;
  };
  const named = typeof accel === 'object' && accel !== null ? Object.keys(accel)[0] : accel;
  return { arch: oneOf('arch', arch, architectures), accel: oneOf('accel', named, accelerators) };
}

interface Placement { isolation?: unknown; network?: unknown }

function isolationOf(field: string, value: unknown): Isolation | undefined {
  if (value !== undefined && !isolations.includes(value as Isolation)) throw bad(field, value, `one of ${isolations.join(', ')}`);
  return value as Isolation | undefined;
}

function flag(field: string, value: unknown): boolean | undefined {
  if (value !== undefined && typeof value !== 'boolean') throw bad(field, value, 'true or false');
  return value;
}

/** A fixed count, or the least that an autoscaled deployment starts with: one, within its bounds. */
function replicas(engine: NonNullable<DeploymentConfig['engine']>): number {
  const { replica_min: least = 0, replica_max: most = Math.max(1, least) } = engine.autoscale ?? {};
  if (engine.autoscale !== undefined && most < least) throw bad('engine.autoscale.replica_max', most, `${least} (replica_min) or more`);
  return engine.replicas ?? Math.min(Math.max(1, least), most);
}

function cpus(field: string, value: string | number | undefined): number | undefined {
  if (value === undefined) return undefined;
  const match = /^(\d+(?:\.\d+)?)(m?)$/.exec(String(value));
  const count = match === null ? Number.NaN : Number(match[1]) / (match[2] === 'm' ? 1000 : 1);
  if (!(count > 0 && count <= 1024)) throw bad(field, value, 'a number above 0 and up to 1024, such as 0.25, 1 or "500m"');
  return count;
}

function bytes(field: string, value: string | number | undefined): number | undefined {
  if (value === undefined) return undefined;
  const size = parseMemory(String(value));
  if (size === undefined || size < smallestMemory) throw bad(field, value, 'a number and a unit, such as "512Mi", "2Gi" or "2GiB", of at least 1Mi and at most 1Pi');
  return size;
}

function whole(field: string, value: string | number | undefined): number {
  const count = Number(value ?? 0);
  if (!Number.isInteger(count) || count < 0 || count > 64) throw bad(field, value, 'a whole number from 0 to 64: GPUs are not shared');
  return count;
}

const gpusOf = (field: string, limits: Readonly<Record<string, string | number>>): number => Math.max(...gpuResources.map((name) => whole(field, limits[name])));

const powers = ['', 'K', 'M', 'G', 'T', 'P'];

/** `2Gi` and `2GiB` are 2 × 1024³ bytes; `2G` and `2GB` 2 × 1000³; a bare number is bytes. */
export function parseMemory(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kKMGTP]?)(i?)B?\s*$/.exec(text);
  if (match === null) return undefined;
  const [, number = '', unit = '', binary = ''] = match;
  if (unit === '' && binary !== '') return undefined;
  const size = Math.floor(Number(number) * (binary === '' ? 1000 : 1024) ** powers.indexOf(unit.toUpperCase()));
  return size >= 1 && size <= largestMemory ? size : undefined;
}
