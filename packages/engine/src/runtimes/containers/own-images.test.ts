import { describe, expect, it } from 'vitest';
import { whole } from './images.ts';
import { markFor, markOf } from './own-images.ts';

const [owner, hex] = ['0123456789ab', 'f'.repeat(64)];
const digest = `sha256:${hex}`;

describe('the mark of an image that a server has pulled', () => {
  it.each([
    ['registry.example.com/ml/bikes:1', `localhost/potoroo-${owner}/registry.example.com/ml/bikes:${hex}.1`],
    ['localhost:5000/bikes:v1.2_x', `localhost/potoroo-${owner}/localhost__5000/bikes:${hex}.v1.2_x`],
    ['docker.io/library/bikes', `localhost/potoroo-${owner}/docker.io/library/bikes:${hex}`],
    [`quay.io/a/b/c@${digest}`, `localhost/potoroo-${owner}/quay.io/a/b/c:${hex}`],
  ])('of %s tells whose it is and what it was called', (image, name) => {
    expect(markFor(owner, image, digest)).toBe(name);
    expect(markOf({ name, id: 'i' })).toEqual({ name, id: 'i', owner, digest, image: /:[^/@]+$/.test(image.replace(/@.*/, '')) ? image : `${image.replace(/@.*/, '')}@${digest}` });
  });
  it.each([
    ['a tag that is too long', `registry.example.com/bikes:${'t'.repeat(64)}`],
    ['a name that is too long', `registry.example.com/${'b'.repeat(200)}:1`],
    ['an address of version 6', '[::1]:5000/bikes:1'],
    ['a name that would be read as a port', 'host__5000/bikes:1'],
  ])('does not hold %s, so that it is never removed', (_, image) => {
    expect(markFor(owner, image, digest)).toBeUndefined();
  });
  it.each(['localhost/potoroo-runtime:latest', `localhost/potoroo-0123/x/y:${hex}`, `localhost/potoroo-${owner}/x/y:latest`, '<none>:<none>'])('is not %s', (name) => {
    expect(markOf({ name, id: 'i' })).toBeUndefined();
  });
});

describe('a name with its registry', () => {
  it.each([['bikes:1', 'docker.io/library/bikes:1'], ['ml/bikes:1', 'docker.io/ml/bikes:1'], ['localhost/bikes', 'localhost/bikes'], ['host:5000/bikes:1', 'host:5000/bikes:1'], ['quay.io/bikes@sha256:0', 'quay.io/bikes@sha256:0']])('of %s is %s', (name, full) => {
    expect(whole(name)).toBe(full);
  });
});
