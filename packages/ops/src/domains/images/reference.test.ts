import { expect, test } from 'vitest';
import { readReference } from './reference.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

test.each([
  ['registry.example.com/team/model:1', 'registry.example.com/team/model:1', 'registry.example.com'],
  ['localhost:5000/model', 'localhost:5000/model', 'localhost:5000'],
  ['localhost/model:v1.2_3-x', 'localhost/model:v1.2_3-x', 'localhost'],
  ['127.0.0.1:5000/a/b/c:1', '127.0.0.1:5000/a/b/c:1', '127.0.0.1:5000'],
  ['[::1]:5000/model', '[::1]:5000/model', '[::1]:5000'],
  [`ghcr.io/org/model@${digest}`, `ghcr.io/org/model@${digest}`, 'ghcr.io'],
  [`ghcr.io/org/model:1@${digest}`, `ghcr.io/org/model:1@${digest}`, 'ghcr.io'],
  ['org/model:1', 'docker.io/org/model:1', 'docker.io'],
  ['model', 'docker.io/library/model', 'docker.io'],
  ['  ghcr.io/org/my__model--x.y ', 'ghcr.io/org/my__model--x.y', 'ghcr.io'],
])('%s is %s', (text, image, registry) => {
  expect(readReference(text)).toEqual({ image, registry });
});

test.each([
  '', '/', 'ghcr.io/', 'ghcr.io//x', 'ghcr.io/Upper/case', 'ghcr.io/a b', 'ghcr.io/a/../b', '-ghcr.io/a', '--authfile=/etc/passwd', 'ghcr.io/-x', 'ghcr.io/x:', 'ghcr.io/x:-1', 'ghcr.io/x@sha256:12', 'user:pass@ghcr.io/x',
  'https://ghcr.io/x', 'ghcr.io/x?y', 'ghcr.io/x\n--privileged', `ghcr.io/${'x'.repeat(600)}`, `ghcr.io/x:${'1'.repeat(200)}`, 'dir:/etc', 'docker-archive:/x.tar',
])('%j is refused', (text) => {
  expect(() => readReference(text)).toThrow(expect.objectContaining({ code: 'invalid_request', fields: [{ field: 'image', message: expect.stringContaining('registry.example.com') as string }] }) as Error);
});
