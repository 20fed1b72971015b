import { PotorooError, type Accelerator, type Architecture, type DeploymentConfig, type Isolation } from '@potoroo/contract';

/** A model version, as far as its sidekick's settings are concerned. */
export interface SidekickModel {
  readonly id: number;
  readonly name: string;
}

interface Part {
  cpus?: number;
  memory?: string;
  gpus?: number;
  arch?: Architecture;
  accel?: Accelerator;
  env?: Record<string, string>;
  isolation?: Isolation;
}

interface Autoscale {
  replica_min?: number;
  replica_max?: number;
  type?: 'cpu';
  cpu_utilization?: number;
}

/** What Kubernetes calls the GPUs that each accelerator drives. */
const gpuResources: Readonly<Record<Accelerator, string>> = {
  none: 'nvidia.com/gpu', cuda: 'nvidia.com/gpu', jetson: 'nvidia.com/gpu', openvino: 'gpu.intel.com/i915', rocm: 'amd.com/gpu', qaic: 'qualcomm.com/qaic',
};

/**
 * Builds a deployment config with the guide's methods, in camel case; `build()` gives the JSON that the published Python
 * client's builder gives. Methods may be called in any order; a later call of the same method wins.
 *
 * @example new DeploymentConfigBuilder().replicaCount(2).cpus(0.5).memory('1Gi').build()
 */
export class DeploymentConfigBuilder {
  readonly #workspaceId: number | undefined;
  readonly #engine: Part = {};
  readonly #balancer: Part = {};
  readonly #sidekicks = new Map<string, Part>();
  #replicas: number | undefined;
  #autoscale: Autoscale | undefined;
  #label: string | undefined;
  #isolation: Isolation | undefined;

  constructor(options: { workspaceId?: number } = {}) {
    this.#workspaceId = options.workspaceId;
  }

  /** A constant number of replicas. With autoscaling it is the number to start with, at most its maximum. */
  replicaCount(count: number): this {
    whole('replicaCount', count, 0);
    this.#checkReplicas(count, this.#autoscale?.replica_max);
    this.#replicas = count;
    return this;
  }

  /** Autoscaling between `minimum` (0 when not given) and `maximum` replicas. */
  replicaAutoscaleMinMax({ maximum, minimum = 0 }: { maximum: number; minimum?: number }): this {
    whole('replicaAutoscaleMinMax minimum', minimum, 0);
    whole('replicaAutoscaleMinMax maximum', maximum, 0);
    if (minimum > maximum) throw invalid(`replicaAutoscaleMinMax: minimum ${minimum} is above maximum ${maximum}; give a minimum of ${maximum} or less.`);
    this.#checkReplicas(this.#replicas, maximum);
    this.#autoscale = { ...this.#autoscale, replica_min: minimum, replica_max: maximum, type: 'cpu' };
    return this;
  }

  /** Average CPU use of the replicas, in percent, above which one is added. Needs `replicaAutoscaleMinMax`. */
  autoscaleCpuUtilization(percentage: number): this {
    whole('autoscaleCpuUtilization', percentage, 1, 100);
    this.#autoscale = { ...this.#autoscale, cpu_utilization: percentage };
    return this;
  }

  disableAutoscale(): this {
    this.#autoscale = undefined;
    return this;
  }

  /** CPUs of a replica, such as 0.25, 1 or 1.5. */
  cpus(count: number): this {
    this.#engine.cpus = positive('cpus', count);
    return this;
  }

  /** GPUs of a replica, whole ones. Clusters also need `deploymentLabel`. */
  gpus(count: number): this {
    this.#engine.gpus = whole('gpus', count, 0);
    return this;
  }

  /** Memory of a replica, such as `512Mi` or `2Gi`. */
  memory(spec: string): this {
    this.#engine.memory = memorySpec('memory', spec);
    return this;
  }

  lbCpus(count: number): this {
    this.#balancer.cpus = positive('lbCpus', count);
    return this;
  }

  lbMemory(spec: string): this {
    this.#balancer.memory = memorySpec('lbMemory', spec);
    return this;
  }

  /** Label of the nodes to run on, such as `doc-gpu-label:true`; for the engine and every sidekick. */
  deploymentLabel(label: string): this {
    this.#label = label;
    return this;
  }

  /** Without it the architecture of the models is used. */
  arch(architecture: Architecture): this {
    this.#engine.arch = architecture;
    return this;
  }

  /** Without it the accelerator of the models is used. */
  accel(accelerator: Accelerator): this {
    this.#engine.accel = accelerator;
    return this;
  }

  sidekickCpus(model: SidekickModel, count: number): this {
    this.#sidekick(model).cpus = positive('sidekickCpus', count);
    return this;
  }

  sidekickMemory(model: SidekickModel, spec: string): this {
    this.#sidekick(model).memory = memorySpec('sidekickMemory', spec);
    return this;
  }

  /** Replaces the environment variables given before. */
  sidekickEnv(model: SidekickModel, environment: Readonly<Record<string, string>>): this {
    this.#sidekick(model).env = { ...environment };
    return this;
  }

  /** Whether models with a process of their own run in a container, or as a child of their engine; as the server's settings say when not given. */
  isolation(isolation: Isolation): this {
    this.#isolation = isolation;
    return this;
  }

  /** The same for one model. */
  sidekickIsolation(model: SidekickModel, isolation: Isolation): this {
    this.#sidekick(model).isolation = isolation;
    return this;
  }

  sidekickGpus(model: SidekickModel, count: number): this {
    this.#sidekick(model).gpus = whole('sidekickGpus', count, 0);
    return this;
  }

  sidekickArch(model: SidekickModel, architecture: Architecture): this {
    this.#sidekick(model).arch = architecture;
    return this;
  }

  sidekickAccel(model: SidekickModel, accelerator: Accelerator): this {
    this.#sidekick(model).accel = accelerator;
    return this;
  }

  build(): DeploymentConfig {
    const { cpus, gpus } = this.#engine;
    const images: Record<string, Record<string, unknown>> = {};
    for (const [key, part] of this.#sidekicks) {
      images[key] = {
        ...common(part, this.#label),
        ...(part.env === undefined ? {} : { env: Object.entries(part.env).map(([name, value]) => ({ name, value })) }),
        ...(part.isolation === undefined ? {} : { isolation: part.isolation }),
      };
    }
    return {
      engine: {
        ...(this.#replicas === undefined ? {} : { replicas: this.#replicas }),
        ...(cpus === undefined ? {} : { cpu: cpus }),
        ...(gpus === undefined ? {} : { gpu: gpus }),
        ...common(this.#engine, this.#label),
        ...(this.#autoscale === undefined ? {} : { autoscale: { ...this.#autoscale } }),
      },
      enginelb: common(this.#balancer, undefined),
      engineAux: { ...(this.#isolation === undefined ? {} : { isolation: this.#isolation }), images },
      ...(this.#workspaceId === undefined ? {} : { workspace_id: this.#workspaceId }),
    };
  }

  #sidekick(model: SidekickModel): Part {
    const key = `${model.name}-${model.id}`;
    const part = this.#sidekicks.get(key) ?? {};
    this.#sidekicks.set(key, part);
    return part;
  }

  #checkReplicas(replicas: number | undefined, maximum: number | undefined): void {
    if (replicas === undefined || maximum === undefined || replicas <= maximum) return;
    throw invalid(`replicaCount ${replicas} is above the autoscaling maximum ${maximum}; lower it, or raise the maximum with replicaAutoscaleMinMax.`);
  }
}

/** Limits and requests are always the same, as the guide states. */
function common(part: Part, label: string | undefined): Record<string, unknown> {
  const amounts: Record<string, string | number> = {};
  if (part.cpus !== undefined) amounts['cpu'] = part.cpus;
  if (part.memory !== undefined) amounts['memory'] = part.memory;
  if (part.gpus !== undefined) amounts[gpuResources[part.accel ?? 'none']] = part.gpus;
  return {
    ...(Object.keys(amounts).length === 0 ? {} : { resources: { limits: amounts, requests: { ...amounts } } }),
    ...(part.arch === undefined ? {} : { arch: part.arch }),
    ...(part.accel === undefined ? {} : { accel: part.accel }),
    ...(label === undefined ? {} : { node_selector: label }),
  };
}

const invalid = (message: string) => new PotorooError('invalid_request', message);

function whole(what: string, value: number, minimum: number, maximum = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= minimum && value <= maximum) return value;
  throw invalid(`${what} is ${value}; give a whole number ${maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`}.`);
}

function positive(what: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw invalid(`${what} is ${value}; give a number above 0, such as 0.25 or 2.`);
}

function memorySpec(what: string, value: string): string {
  if (/^\d+(?:\.\d+)?(?:[KMGT]iB?|[kMGT]B?)?$/.test(value)) return value;
  throw invalid(`${what} is ${JSON.stringify(value)}; give a number and a unit of Ki, Mi, Gi or Ti, such as "512Mi" or "2Gi".`);
}
