import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PartitionContext } from './partition.ts';
import type { Retention, RetentionStore } from './retention.store.ts';

/** What one run removed of a pipeline's log; `until` is the time of the newest record that went, in ms. */
export interface Removed { readonly pipelineId: number; readonly segments: number; readonly rows: number; readonly bytes: number; readonly until: number }

const dayMs = 86_400_000;

/** 0 is no bound; no record is from before time 0. */
export function bounds({ days, bytes }: Retention, now: number): { before: number; bytes: number } {
  return { before: days === null || days === 0 ? 0 : Math.max(0, now - days * dayMs), bytes: bytes === null || bytes === 0 ? Infinity : bytes };
}

/**
 * Removes whole sealed segments, oldest first. They leave the manifest before their files go: whoever reads one of them asks the
 * manifest again, and a file that a crash leaves is removed at the next start.
 */
export async function removeExpired({ reader, folder }: PartitionContext, store: RetentionStore, pipelineId: number, bound: { before: number; bytes: number }): Promise<Removed | undefined> {
  const removed = { segments: 0, rows: 0, bytes: 0, until: -Infinity };
  if (bound.before === 0 && bound.bytes === Infinity) return undefined;
  for (;;) {
    const expired = await store.takeExpired(pipelineId, bound.before, bound.bytes);
    if (expired.length === 0) break;
    for (const { file, rows, bytes, maxTime } of expired) {
      const path = join(folder, file);
      await rm(path, { force: true });
      reader.forget(path);
      removed.segments += 1;
      removed.rows += rows;
      removed.bytes += bytes;
      removed.until = Math.max(removed.until, maxTime);
    }
  }
  return removed.segments === 0 ? undefined : { pipelineId, ...removed };
}
