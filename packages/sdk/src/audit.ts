import { apiPrefix, type ApiAuditRecord } from '@potoroo/contract';
import { listOf } from './calls.ts';
import type { Pages } from './pages.ts';
import type { CallOptions, Transport } from './transport.ts';

export interface AuditFilter { workspaceId?: number; userId?: string; kind?: string; objectId?: string; action?: string; outcome?: string; start?: Date; end?: Date }

/** Who changed what and who signed in, newest first. */
export class Audit {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** For administrators; with `workspaceId`, for owners of that workspace too. @throws PotorooError forbidden */
  list(query: AuditFilter & CallOptions = {}): Pages<ApiAuditRecord> {
    const { signal, timeoutMs, start, end, ...filter } = query;
    return listOf<ApiAuditRecord>(this.#transport, `${apiPrefix}/audit`, { ...filter, start: start?.toISOString(), end: end?.toISOString() }, { signal, timeoutMs });
  }
}
