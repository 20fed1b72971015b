import { PotorooError } from '@potoroo/contract';

const host = String.raw`(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::\d{1,5})?`;
const repository = String.raw`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*`;
const shape = new RegExp(`^(${host})/(${repository})(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`);

export interface ImageReference {
  /** Whole, with its registry. */
  readonly image: string;
  /** `host` or `host:port` of the registry. */
  readonly registry: string;
}

/**
 * An image as people write it: a name without a registry is one of Docker Hub, as every tool has it.
 * @throws invalid_request saying how one is written
 */
export function readReference(text: string): ImageReference {
  const given = text.trim();
  const first = given.split('/')[0] ?? '';
  const hosted = given.includes('/') && (/[.:[]/.test(first) || first === 'localhost');
  const image = hosted ? given : `docker.io/${given.includes('/') ? '' : 'library/'}${given}`;
  const registry = image.length <= 512 ? shape.exec(image)?.[1] : undefined;
  if (registry !== undefined) return { image, registry };
  const rule = 'use the name of an image with its registry, such as registry.example.com/team/model:1';
  throw new PotorooError('invalid_request', `image is ${JSON.stringify(given.slice(0, 120))}: ${rule}.`, { fields: [{ field: 'image', message: rule }] });
}
