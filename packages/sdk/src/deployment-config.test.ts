import { describe, expect, it } from 'vitest';
import { Value } from '@sinclair/typebox/value';
import { DeploymentConfigSchema } from '@potoroo/contract';
import { DeploymentConfigBuilder } from './deployment-config.ts';

const model = { name: 'sm-model', id: 7 };
const builder = () => new DeploymentConfigBuilder();
const empty = { enginelb: {}, engineAux: { images: {} } };
const both = (amounts: Record<string, unknown>) => ({ limits: amounts, requests: amounts });

describe('DeploymentConfigBuilder', () => {
  // Expected values: what the published Python client's builder gives for the guide's own examples.
  const cases: [string, DeploymentConfigBuilder, unknown][] = [
    ['nothing', builder(), { engine: {}, ...empty }],
    ['replicas, cpus and memory', builder().replicaCount(1).cpus(1).memory('2Gi'),
      { engine: { replicas: 1, cpu: 1, resources: both({ cpu: 1, memory: '2Gi' }) }, ...empty }],
    ['a quarter of a CPU', builder().cpus(0.25).memory('1Gi'),
      { engine: { cpu: 0.25, resources: both({ cpu: 0.25, memory: '1Gi' }) }, ...empty }],
    ['autoscaling with a first number', builder().replicaCount(1).replicaAutoscaleMinMax({ minimum: 2, maximum: 5 }).cpus(1).memory('1Gi'),
      { engine: { replicas: 1, autoscale: { replica_min: 2, replica_max: 5, type: 'cpu' }, cpu: 1, resources: both({ cpu: 1, memory: '1Gi' }) }, ...empty }],
    ['autoscaling by CPU', builder().autoscaleCpuUtilization(75).cpus(4).memory('3Gi').replicaAutoscaleMinMax({ maximum: 5 }),
      { engine: { cpu: 4, resources: both({ cpu: 4, memory: '3Gi' }), autoscale: { cpu_utilization: 75, replica_min: 0, replica_max: 5, type: 'cpu' } }, ...empty }],
    ['autoscaling taken back', builder().replicaCount(3).replicaAutoscaleMinMax({ maximum: 5 }).disableAutoscale(),
      { engine: { replicas: 3 }, ...empty }],
    ['a GPU and its label', builder().cpus(0.25).memory('1Gi').gpus(1).deploymentLabel('doc-gpu-label:true'),
      { engine: { cpu: 0.25, gpu: 1, resources: both({ cpu: 0.25, memory: '1Gi', 'nvidia.com/gpu': 1 }), node_selector: 'doc-gpu-label:true' }, ...empty }],
    ['GPUs named by the accelerator, in any order', builder().gpus(2).accel('openvino').arch('x86'),
      { engine: { gpu: 2, resources: both({ 'gpu.intel.com/i915': 2 }), accel: 'openvino', arch: 'x86' }, ...empty }],
    ['AMD GPUs', builder().accel('rocm').gpus(1), { engine: { gpu: 1, resources: both({ 'amd.com/gpu': 1 }), accel: 'rocm' }, ...empty }],
    ['the load balancer', builder().lbCpus(0.5).lbMemory('1Gi'),
      { engine: {}, enginelb: { resources: both({ cpu: 0.5, memory: '1Gi' }) }, engineAux: { images: {} } }],
    ['a sidekick', builder().sidekickCpus(model, 0.25).sidekickMemory(model, '1Gi').sidekickEnv(model, { GUNICORN_CMD_ARGS: '__timeout=188 --workers=1' }),
      { engine: {}, enginelb: {}, engineAux: { images: { 'sm-model-7': { resources: both({ cpu: 0.25, memory: '1Gi' }), env: [{ name: 'GUNICORN_CMD_ARGS', value: '__timeout=188 --workers=1' }] } } } }],
    ['GPUs on both sides, one label', builder().cpus(0.25).memory('1Gi').gpus(1).deploymentLabel('doc-gpu-label:true').sidekickGpus(model, 1),
      { engine: { cpu: 0.25, gpu: 1, resources: both({ cpu: 0.25, memory: '1Gi', 'nvidia.com/gpu': 1 }), node_selector: 'doc-gpu-label:true' }, enginelb: {},
        engineAux: { images: { 'sm-model-7': { resources: both({ 'nvidia.com/gpu': 1 }), node_selector: 'doc-gpu-label:true' } } } }],
    ['where models run', builder().isolation('container').sidekickIsolation(model, 'process'),
      { engine: {}, enginelb: {}, engineAux: { isolation: 'container', images: { 'sm-model-7': { isolation: 'process' } } } }],
    ['architecture and accelerator of a sidekick', builder().sidekickArch(model, 'arm').sidekickAccel(model, 'cuda'),
      { engine: {}, enginelb: {}, engineAux: { images: { 'sm-model-7': { arch: 'arm', accel: 'cuda' } } } }],
    ['a workspace', new DeploymentConfigBuilder({ workspaceId: 5 }), { engine: {}, ...empty, workspace_id: 5 }],
  ];

  it.each(cases)('builds %s', (_name, built, expected) => {
    expect(built.build()).toEqual(expected);
    expect(Value.Check(DeploymentConfigSchema, built.build())).toBe(true);
  });

  it('keeps what it built apart from what is set afterwards', () => {
    const b = builder().cpus(1).sidekickCpus(model, 1);
    const before = JSON.stringify(b.build());
    const built = b.build();
    b.cpus(2).sidekickCpus(model, 2);
    expect(JSON.stringify(built)).toBe(before);
  });

  const refused: [string, () => unknown, RegExp][] = [
    ['negative replicas', () => builder().replicaCount(-1), /replicaCount is -1/],
    ['half a replica', () => builder().replicaCount(1.5), /replicaCount is 1.5/],
    ['replicas above the maximum', () => builder().replicaAutoscaleMinMax({ maximum: 5 }).replicaCount(7), /replicaCount 7 is above the autoscaling maximum 5/],
    ['a maximum below the replicas', () => builder().replicaCount(3).replicaAutoscaleMinMax({ maximum: 2 }), /replicaCount 3 is above the autoscaling maximum 2/],
    ['a minimum above the maximum', () => builder().replicaAutoscaleMinMax({ minimum: 2, maximum: 1 }), /minimum 2 is above maximum 1/],
    ['a negative minimum', () => builder().replicaAutoscaleMinMax({ minimum: -1, maximum: 1 }), /minimum is -1/],
    ['no CPU', () => builder().cpus(0), /cpus is 0/],
    ['not a number of CPUs', () => builder().cpus(Number.NaN), /cpus is NaN/],
    ['a fraction of a GPU', () => builder().gpus(0.25), /gpus is 0.25/],
    ['memory without sense', () => builder().memory('lots'), /memory is "lots"/],
    ['a share above 100 %', () => builder().autoscaleCpuUtilization(101), /from 1 to 100/],
    ['a sidekick with no memory', () => builder().sidekickMemory(model, ''), /sidekickMemory is ""/],
  ];
  it.each(refused)('refuses %s and says what to give', (_name, build, message) => {
    expect(build).toThrow(message);
    expect(build).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });
});
