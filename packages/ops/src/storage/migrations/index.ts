import type { Migration } from '../migrate.ts';
import { identity } from './0001_identity.ts';
import { workspaces } from './0002_workspaces.ts';
import { models } from './0003_models.ts';
import { pipelines } from './0004_pipelines.ts';
import { idempotency } from './0007_idempotency.ts';
import { logs } from './0010_logs.ts';
import { deployments } from './0020_deployments.ts';
import { tagsAndConnections } from './0030_tags_connections.ts';
import { modelExecution } from './0031_model_execution.ts';
import { signIn } from './0040_sign_in.ts';
import { audit } from './0041_audit.ts';
import { logRetention } from './0050_log_retention.ts';
import { seek } from './0061_seek.ts';
import { images } from './0062_images.ts';
import { registries } from './0063_registries.ts';
import { sidekicks } from './0064_sidekicks.ts';
import { uploadKeys } from './0065_upload_keys.ts';
import { keyRevocation } from './0067_key_revocation.ts';

/** In the order they run. A migration that has been released is never changed; the next one has the next number. */
export const migrations: Readonly<Record<string, Migration>> = {
  '0001_identity': identity,
  '0002_workspaces': workspaces,
  '0003_models': models,
  '0004_pipelines': pipelines,
  '0007_idempotency': idempotency,
  '0010_logs': logs,
  '0020_deployments': deployments,
  '0030_tags_connections': tagsAndConnections,
  '0031_model_execution': modelExecution,
  '0040_sign_in': signIn,
  '0041_audit': audit,
  '0050_log_retention': logRetention,
  '0061_seek': seek,
  '0062_images': images,
  '0063_registries': registries,
  '0064_sidekicks': sidekicks,
  '0065_upload_keys': uploadKeys,
  '0067_key_revocation': keyRevocation,
};
