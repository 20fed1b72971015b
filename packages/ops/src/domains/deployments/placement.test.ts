import { describe, expect, it } from 'vitest';
import { placementOf, type PlacedModel, type Wanted } from './placement.ts';

const nothing: Wanted = { arch: undefined, accel: undefined };
const model = (more: Partial<PlacedModel> = {}): PlacedModel => ({ name: 'm', arch: 'x86', accel: 'none', ...more });
const arm = model({ name: 'of-arm', arch: 'arm' });

describe('architectures, sentence by sentence of the guide', () => {
  it('"Wallaroo pipeline deployments default to x86": as its models do', () => {
    expect(placementOf(nothing, [])).toEqual({ arch: 'x86', archs: ['x86'], accels: [], refusal: null });
    expect(placementOf(nothing, [model()])).toMatchObject({ arch: 'x86', archs: ['x86'], refusal: null });
  });
  it('a deployment whose config says nothing is of the architecture of its models', () => {
    expect(placementOf(nothing, [arm, arm])).toMatchObject({ arch: 'arm', archs: ['arm'], refusal: null });
  });
  it('"Models with the target architecture ARM require the pipeline deployment configuration also be ARM"', () => {
    expect(placementOf({ ...nothing, arch: 'arm' }, [arm])).toMatchObject({ archs: ['arm'], refusal: null });
    expect(placementOf({ ...nothing, arch: 'x86' }, [arm]).refusal).toMatchObject({ code: 'arch_mismatch', message: expect.stringMatching(/of-arm was uploaded for arch arm and the deployment config says x86: set the arch/) as string });
    expect(placementOf({ ...nothing, arch: 'arm' }, [model()]).refusal).toMatchObject({ code: 'arch_mismatch' });
  });
  it('models of different architectures make no pipeline, whatever the config says', () => {
    for (const arch of [undefined, 'x86', 'arm'] as const) expect(placementOf({ ...nothing, arch }, [model(), arm]).refusal?.code).toBe('arch_mismatch');
    expect(placementOf(nothing, [model(), arm]).refusal?.message).toContain('models of one pipeline need one arch');
  });
  it('"Sets the CPU architecture" of a sidekick: that of its model', () => {
    const sidekick = { ...nothing, arch: 'arm' as const };
    expect(placementOf(nothing, [model(), { ...arm, sidekick }])).toMatchObject({ arch: 'x86', archs: ['x86', 'arm'], refusal: null });
    expect(placementOf(nothing, [model({ sidekick })]).refusal).toMatchObject({ code: 'arch_mismatch', message: expect.stringContaining('runs its sidekick on arm') as string });
    expect(placementOf(nothing, [{ ...arm, sidekick: nothing }])).toMatchObject({ archs: ['arm'], refusal: null });
  });
});

describe('accelerators', () => {
  it('are inherited, and none is nothing that a host needs', () => {
    expect(placementOf(nothing, [model({ accel: 'cuda' })])).toMatchObject({ accels: ['cuda'], refusal: null });
    expect(placementOf({ ...nothing, accel: 'none' }, [model()])).toMatchObject({ accels: [], refusal: null });
  });
  it('other than that of the model are refused', () => {
    expect(placementOf({ ...nothing, accel: 'none' }, [model({ accel: 'cuda' })]).refusal).toMatchObject({ code: 'accel_mismatch', message: expect.stringContaining('accel cuda') as string });
    expect(placementOf(nothing, [model(), model({ name: 'n', accel: 'cuda' })]).refusal).toMatchObject({ code: 'accel_mismatch' });
  });
});
