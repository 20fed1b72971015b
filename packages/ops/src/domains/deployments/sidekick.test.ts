import type { DeploymentConfig } from '@potoroo/contract';
import { describe, expect, it } from 'vitest';
import { readSidekick } from './config.ts';

/** As the client's `sidekick_*` methods write it. */
const config = (image: Record<string, unknown>): DeploymentConfig => ({ engineAux: { images: { 'm-7': image } } });

describe('what a deployment says of one containerized model', () => {
  it('is its memory, its threads and its environment', () => {
    const image = { resources: { limits: { cpu: 0.5, memory: '1Gi' }, requests: { cpu: 0.25, memory: '512Mi' } }, env: [{ name: 'A', value: '1' }] };
    expect(readSidekick(config(image), 'm-7')).toEqual({ sidekick: { cpus: 0.5, memoryBytes: 1024 ** 3, env: { A: '1' } }, arch: undefined });
    expect(readSidekick(config(image), 'm-8')).toEqual({ sidekick: {}, arch: undefined });
    expect(readSidekick({}, 'm-7')).toEqual({ sidekick: {}, arch: undefined });
  });
  it('is its GPUs and its architecture', () => {
    expect(readSidekick(config({ resources: { limits: { 'nvidia.com/gpu': 2 }, requests: {} }, arch: 'arm' }), 'm-7')).toEqual({ sidekick: { gpus: 2 }, arch: 'arm' });
  });
  it.each([
    ['the server', {}, undefined, 'container'],
    ['the deployment', { isolation: 'container' }, undefined, 'process'],
    ['its entry', { isolation: 'process' }, 'container', 'process'],
  ] as const)('is whether it runs in a container: %s says so', (_, all, own, otherwise) => {
    const given = { engineAux: { ...all, images: { 'm-7': { ...(own && { isolation: own }) } } } };
    expect(readSidekick(given, 'm-7', otherwise).sidekick).toEqual({ isolation: 'container' });
  });
  it('is a child process unless somebody says otherwise, and the nearest word counts', () => {
    expect(readSidekick({ engineAux: { isolation: 'container', images: { 'm-7': { isolation: 'process' } } } } as DeploymentConfig, 'm-7', 'container').sidekick).toEqual({});
    expect(readSidekick({ engineAux: { network: true, images: {} } } as DeploymentConfig, 'm-7', 'container').sidekick).toEqual({ isolation: 'container', network: true });
  });
  it.each([
    [{ resources: { limits: { memory: 'lots' } } }, 'engineAux.images.m-7.resources.limits.memory'],
    [{ resources: { requests: { cpu: 'many' } } }, 'engineAux.images.m-7.resources.requests.cpu'],
    [{ env: [{ name: 'A B', value: '1' }] }, 'engineAux.images.m-7.env'],
    [{ env: [{ name: 'A', value: 1 }] }, 'engineAux.images.m-7.env'],
    [{ isolation: 'jail' }, 'engineAux.images.m-7.isolation'],
    [{ network: 'yes' }, 'engineAux.images.m-7.network'],
    [{ resources: { limits: { 'nvidia.com/gpu': 0.5 } } }, 'engineAux.images.m-7.resources.limits'],
    [{ env: [null] }, 'engineAux.images.m-7.env'],
  ])('%j is refused with its field', (image, field) => {
    expect(() => readSidekick(config(image as Record<string, unknown>), 'm-7')).toThrow(expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining(field) as string }) as Error);
  });
});
