import { conform, decodeArrow, decodeDictionary, decodeRecords, encodeArrowFile, encodeArrowStream, encodeDictionary, encodeRecords, type Batch } from '@potoroo/batch';
import { isPotorooError, PotorooError } from '@potoroo/contract/plain';
import { answerRows, edgeResult, type Share } from '../serving/answer.ts';
import type { Service } from '../serving/service.ts';
import { conformWithKeys, withKeys } from '../steps/keys.ts';
import { arrowFileType, arrowStreamType, inputForm, outputForm, recordsType, wallarooType, type InputForm } from './content.ts';
import type { Exchange } from './exchange.ts';
import { requestId, timeoutMs } from './headers.ts';

/** Longer bodies are not repeated in an answer of the edge form ("null if the input may be too long"). */
const originalBytes = 64 * 1024;

function decode(form: InputForm, body: Uint8Array, service: Service): Batch {
  const { inputs, modelInputs, keys, keyNames } = service.pipeline;
  if (form === 'arrow') {
    const { batch } = decodeArrow(body);
    // A key may come as a text or a number, and in some pipelines not at all: no schema says that.
    return keys.length > 0 ? conformWithKeys(batch, modelInputs, keys) : conform(batch, inputs);
  }
  const batch = (form !== 'records' && isObject(body) ? decodeDictionary : decodeRecords)(body, inputs, keyNames);
  return keys.length > 0 ? withKeys(batch, keys) : batch;
}

function isObject(body: Uint8Array): boolean {
  let at = 0;
  while (body[at] === 0x20 || body[at] === 0x0a || body[at] === 0x0d || body[at] === 0x09) at++;
  return body[at] === 0x7b;
}

/** The answer to a request that fails: the code, what is wrong and how to put it right; never more. */
export function failure(error: unknown): PotorooError {
  return isPotorooError(error) ? error : new PotorooError('internal', 'The engine failed on this request. Its log says more.', { cause: error });
}

export interface InferDefaults {
  timeoutMs: number;
  fail(exchange: Exchange, error: unknown): void;
}

/** `POST /pipelines/{name}`: rows in one of the guide's forms in, rows or the edge-style result out. */
export function infer(exchange: Exchange, service: Service, defaults: InferDefaults): void {
  const form = inputForm(exchange.header('content-type') ?? '');
  const output = outputForm(exchange.header('accept') ?? '');
  const selection = service.datasets.of(exchange.query);
  const batch = decode(form, exchange.body, service);
  const edge = form === 'wallaroo' || output === 'wallaroo' || (!selection.asked && output === 'json');
  const original = edge && form !== 'arrow' && exchange.body.length <= originalBytes ? encodeDictionary(batch) : 'null';
  start(exchange, service, defaults, batch, requestId(exchange), selection.waits && !edge, (share, headers) => {
    if (edge) return exchange.send(200, form === 'wallaroo' ? wallarooType : recordsType, edgeResult(share, service.identity, original), headers);
    const rows = answerRows(share, selection, service.identity);
    if (output === 'arrow-file') exchange.send(200, arrowFileType, [encodeArrowFile(rows, { separator: selection.separator })], headers);
    else if (output === 'arrow-stream') exchange.send(200, arrowStreamType, [encodeArrowStream(rows, { separator: selection.separator })], headers);
    else exchange.send(200, recordsType, encodeRecords(rows, selection.separator), headers);
  });
}

/** Hands the rows of any protocol to the service; `answer` writes them once they are computed and logged. */
export function start(exchange: Exchange, service: Service, defaults: InferDefaults, batch: Batch, id: string, waits: boolean, answer: (share: Share, headers: string) => void): void {
  const { metrics } = service;
  const fail = (error: unknown): void => {
    metrics.inFlight--;
    exchange.onGone = undefined;
    defaults.fail(exchange, error);
  };
  const work = {
    batch,
    bytes: exchange.body.length,
    deadline: exchange.startedMs + (timeoutMs(exchange) ?? defaults.timeoutMs),
    gone: false,
    requestId: id,
    waits,
    timeMs: Date.now(),
    parseNs: Math.max(1, Math.round((performance.now() - exchange.startedMs) * 1e6)),
    fail,
    release: () => exchange.release?.(),
    answer(share: Share): void {
      try {
        answer(share, `X-Request-Id: ${id}\r\n`);
      } catch (error) {
        return fail(error);
      }
      metrics.inFlight--;
      exchange.onGone = undefined;
      metrics.latencyNs.observe((performance.now() - exchange.startedMs) * 1e6);
    },
  };
  service.infer(work);
  metrics.inFlight++;
  exchange.onGone = () => {
    work.gone = true;
    metrics.inFlight--;
    metrics.failed('client_gone');
  };
}
