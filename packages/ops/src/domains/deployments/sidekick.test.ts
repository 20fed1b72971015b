import type { DeploymentConfig } from '@potoroo/contract';
import { describe, expect, it } from 'vitest';
import { readSidekick } from './config.ts';

/** As the client's `sidekick_*` methods write it. */
const config = (image: Record<string, unknown>): DeploymentConfig => ({ engineAux: { images: { 'm-7': image } } });

describe('what a deployment says of one containerized model', () => {
  it('is its memory, its threads and its environment', () => {
    const image = { resources: { limits: { cpu: 0.5, memory: '1Gi' }, requests: { cpu: 0.25, memory: '512Mi' } }, env: [{ name: 'A', value: '1' }] };
    expect(readSidekick(config(image), 'm-7')).toEqual({ cpus: 0.5, memoryBytes: 1024 ** 3, env: { A: '1' } });
    expect(readSidekick(config(image), 'm-8')).toEqual({});
    expect(readSidekick({}, 'm-7')).toEqual({});
  });
  it.each([
    [{ resources: { limits: { memory: 'lots' } } }, 'engineAux.images.m-7.resources.limits.memory'],
    [{ resources: { requests: { cpu: 'many' } } }, 'engineAux.images.m-7.resources.requests.cpu'],
    [{ env: [{ name: 'A B', value: '1' }] }, 'engineAux.images.m-7.env'],
    [{ env: [{ name: 'A', value: 1 }] }, 'engineAux.images.m-7.env'],
    [{ env: [null] }, 'engineAux.images.m-7.env'],
  ])('%j is refused with its field', (image, field) => {
    expect(() => readSidekick(config(image as Record<string, unknown>), 'm-7')).toThrow(expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining(field) as string }) as Error);
  });
});
