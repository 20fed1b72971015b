import { describe, expect, test } from 'vitest';
import { readConfig } from './config.ts';

const gibibyte = 1024 ** 3;

describe('deployment config', () => {
  test('an empty one has the defaults of the guide', () => {
    expect(readConfig({})).toEqual({ replicas: 1, limits: { cpus: 4, memory: 3 * gibibyte, gpus: 0 }, arch: undefined });
  });

  test('what the Python client builds is read', () => {
    const config = { engine: { replicas: 2, cpu: 0.5, resources: { limits: { cpu: 0.5, memory: '1Gi' }, requests: { cpu: 0.5, memory: '1Gi' } }, arch: 'x86', accel: 'none' }, enginelb: {}, engineAux: { images: {} }, workspace_id: 3 };
    expect(readConfig(config)).toEqual({ replicas: 2, limits: { cpus: 0.5, memory: gibibyte, gpus: 0 }, arch: 'x86', accel: 'none' });
  });

  test.each([
    ['512Mi', 512 * 1024 ** 2], ['2GiB', 2 * gibibyte], ['1.5Gi', 1.5 * gibibyte], ['1G', 1e9], ['500MB', 5e8], ['1Ti', 1024 ** 4], ['1048576', 1_048_576], [1_048_576, 1_048_576], ['2048Ki', 2_097_152], ['3 Gi', 3 * gibibyte],
  ])('memory %s is %d bytes', (memory, bytes) => {
    expect(readConfig({ engine: { resources: { limits: { memory } } } }).limits.memory).toBe(bytes);
  });

  test('the limit of memory goes before the request; either will do', () => {
    expect(readConfig({ engine: { resources: { requests: { memory: '1Gi' } } } }).limits.memory).toBe(gibibyte);
    expect(readConfig({ engine: { resources: { limits: { memory: '2Gi' }, requests: { memory: '1Gi' } } } }).limits.memory).toBe(2 * gibibyte);
  });

  test('thousandths of a CPU are read', () => {
    expect(readConfig({ engine: { resources: { limits: { cpu: '250m' } } } }).limits.cpus).toBe(0.25);
  });

  test.each([
    [{ replica_min: 0, replica_max: 5 }, 1], [{ replica_min: 2, replica_max: 5 }, 2], [{ replica_max: 0 }, 0], [{ replica_min: 3 }, 3],
  ])('an autoscaled deployment %o starts with %d', (autoscale, replicas) => {
    expect(readConfig({ engine: { autoscale } }).replicas).toBe(replicas);
  });

  test.each([
    ['engine.cpu', { engine: { cpu: 0 } }], ['engine.cpu', { engine: { cpu: -1 } }], ['engine.cpu', { engine: { cpu: 'many' } }], ['engine.cpu', { engine: { cpu: 5_000 } }],
    ['engine.replicas', { engine: { replicas: -1 } }], ['engine.replicas', { engine: { replicas: 1.5 } }], ['engine.replicas', { engine: { replicas: 1_000 } }],
    ['engine.gpu', { engine: { gpu: 0.25 } }], ['engine.gpu', { engine: { resources: { limits: { 'nvidia.com/gpu': 0.5 } } } }],
    ['engine.resources.limits.memory', { engine: { resources: { limits: { memory: '2Gig' } } } }], ['engine.resources.limits.memory', { engine: { resources: { limits: { memory: '0Gi' } } } }],
    ['engine.resources.limits.memory', { engine: { resources: { limits: { memory: 'lots' } } } }], ['engine.resources.limits.memory', { engine: { resources: { limits: { memory: '9000Pi' } } } }],
    ['engine.resources.requests.memory', { engine: { resources: { requests: { memory: '-1Gi' } } } }],
    ['engine.resources.limits.memory', { engine: { resources: { limits: { memory: '512' } } } }], ['engine.resources.limits.memory', { engine: { resources: { limits: { memory: '100Ki' } } } }],
    ['engine.resources.limits.cpu', { engine: { resources: { limits: { cpu: '1x' } } } }],
    ['engine.autoscale.replica_max', { engine: { autoscale: { replica_min: 3, replica_max: 2 } } }],
    ['engine.arch', { engine: { arch: 'ARM' } }], ['engine.arch', { engine: { arch: 'sparc' } }], ['engine.accel', { engine: { accel: 'magic' } }], ['engine.accel', { engine: { accel: { magic: {} } } }],
    ['engine', { engine: 4 }], ['config', 'x'], ['config', null],
  ])('a wrong %s is refused by name', (field, config) => {
    expect(() => readConfig(config)).toThrow(expect.objectContaining({ code: 'invalid_request', fields: [expect.objectContaining({ field })] }));
  });
});
