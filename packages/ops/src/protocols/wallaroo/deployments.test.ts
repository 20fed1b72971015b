import { describe, expect, it } from 'vitest';
import type { DeploymentState } from '@potoroo/contract';
import { wireState } from './deployments.ts';

describe('the state of a deployment as the Python client waits for it', () => {
  it.each<[DeploymentState, { observed?: number; current?: boolean; ready?: number }, string]>([
    ['starting', {}, 'Starting'],
    ['running', {}, 'Running'],
    ['running', { ready: 0 }, 'Running'],
    // Stored, but not looked at yet: what runs may be what was there before.
    ['running', { observed: 6 }, 'Starting'],
    ['updating', { current: false }, 'Starting'],
    ['degraded', {}, 'Running'],
    ['degraded', { ready: 0 }, 'Starting'],
    // The update failed; the old set serves on, but it is not what was asked for.
    ['degraded', { current: false }, 'Error'],
    ['degraded', { observed: 6, current: false }, 'Starting'],
    ['stopping', {}, 'Stopping'],
    ['error', { ready: 0 }, 'Error'],
  ])('%s, %j: %s', (state, { observed = 7, current = true, ready = 2 }, wanted) => {
    expect(wireState(7, { state, observedGeneration: observed, current, readyReplicas: ready })).toBe(wanted);
  });
});
