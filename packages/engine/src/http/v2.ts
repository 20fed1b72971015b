import { decodeV2, encodeV2, type V2Request } from '@potoroo/batch';
import { PotorooError, type ElementType, type Field } from '@potoroo/contract/plain';
import { answerOutputs } from '../serving/answer.ts';
import type { Service } from '../serving/service.ts';
import { sendPacked } from './coding.ts';
import { jsonType } from './content.ts';
import type { Exchange } from './exchange.ts';
import { requestId } from './headers.ts';
import type { Pipeline } from '../pipeline.ts';
import { conformWithKeys } from '../steps/keys.ts';
import { start, type InferDefaults } from './infer.ts';

const datatypes: Readonly<Record<ElementType, string>> = {
  bool: 'BOOL', int8: 'INT8', int16: 'INT16', int32: 'INT32', int64: 'INT64', uint8: 'UINT8', uint16: 'UINT16', uint32: 'UINT32', uint64: 'UINT64',
  float16: 'FP16', float32: 'FP32', float64: 'FP64', string: 'BYTES', timestamp: 'INT64',
};

/**
 * Checks the model and version of a path. A pipeline is one model to this protocol, known by the pipeline's name; where it
 * runs a single model, by that model's name as well.
 */
function checkModel(service: Service, name: string, version: string | undefined): { name: string; version: string } {
  const { pipeline, bundle } = service;
  const only = pipeline.models.length === 1 ? pipeline.models[0] : undefined;
  if (name !== pipeline.name && name !== only?.name) {
    throw new PotorooError('model_not_found', `There is no model '${name.slice(0, 80)}' here; this server has '${pipeline.name}'.`);
  }
  const own = name === pipeline.name ? bundle.pipeline.version : only?.version ?? '';
  if (version !== undefined && version !== own && version !== bundle.pipeline.version && version !== only?.version) {
    throw new PotorooError('model_not_found', `Model '${name}' has no version '${version.slice(0, 80)}' here; it has '${own}'.`);
  }
  return { name, version: version ?? own };
}

const tensor = (f: Field): object => ({ name: f.name, datatype: datatypes[f.type], shape: [-1, ...f.shape] });

/**
 * The Open Inference Protocol, version 2, over REST. False when the path is none of its.
 * @param ready whether the engine takes requests
 */
export function serveV2(exchange: Exchange, service: Service, defaults: InferDefaults, ready: boolean): boolean {
  const { method, path } = exchange;
  const json = (status: number, value: unknown): true => {
    exchange.send(status, jsonType, JSON.stringify(value));
    return true;
  };
  const allow = (wanted: string): void => {
    if (method !== wanted && !(wanted === 'GET' && method === 'HEAD')) throw new PotorooError('method_not_allowed', `${path} takes ${wanted}, not ${method}.`);
  };
  const segments = path.split('/').slice(2).filter((s) => s !== '').map(decode);
  const [first, second, third] = segments;
  if (segments.length === 0) {
    allow('GET');
    return json(200, { name: 'potoroo', version: service.bundle.pipeline.version, extensions: ['binary_tensor_data'] });
  }
  if (first === 'health' && segments.length === 2) {
    allow('GET');
    if (second === 'live') return json(200, { live: true });
    if (second === 'ready') return json(ready ? 200 : 503, { ready });
  }
  if (first === 'repository' && second === 'index' && segments.length === 2) {
    allow('POST');
    return json(200, [{ name: service.pipeline.name, version: service.bundle.pipeline.version, state: ready ? 'READY' : 'UNAVAILABLE', reason: '' }]);
  }
  if (first !== 'models' || second === undefined) return false;
  const versioned = third === 'versions' && segments.length >= 4;
  const action = segments[versioned ? 4 : 2];
  if (segments.length > (versioned ? 5 : 3)) return false;
  const model = checkModel(service, second, versioned ? segments[3] : undefined);
  if (action === 'infer') {
    allow('POST');
    inferV2(exchange, service, defaults, model);
    return true;
  }
  allow('GET');
  if (action === 'ready') return json(ready ? 200 : 503, { name: model.name, ready });
  if (action !== undefined) return false;
  const { inputs, outputs } = service.pipeline;
  return json(200, { name: model.name, versions: [model.version], platform: 'potoroo', inputs: inputs.map(tensor), outputs: outputs.map(tensor) });
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new PotorooError('invalid_request', `The path part '${segment.slice(0, 80)}' is not percent-encoded correctly.`);
  }
}

function readV2(body: Uint8Array, headerLength: number | undefined, { modelInputs, keys, keyNames }: Pipeline): V2Request {
  const request = decodeV2(body, headerLength, modelInputs, keyNames);
  return keys.length === 0 ? request : { ...request, batch: conformWithKeys(request.batch, modelInputs, keys) };
}

function inferV2(exchange: Exchange, service: Service, defaults: InferDefaults, model: { name: string; version: string }): void {
  const header = exchange.header('inference-header-content-length');
  if (header !== undefined && !/^\d{1,15}$/.test(header)) throw new PotorooError('invalid_request', `Inference-Header-Content-Length must be a whole number, not '${header.slice(0, 40)}'.`);
  const request = readV2(exchange.body, header === undefined ? undefined : Number(header), service.pipeline);
  const given = service.pipeline.outputs;
  for (const wanted of request.outputs ?? []) {
    if (!given.some((o) => o.name === wanted.name)) throw new PotorooError('schema_mismatch', `There is no output '${wanted.name}'; the model gives ${given.map((o) => `'${o.name}'`).join(', ')}.`);
  }
  start(exchange, service, defaults, request.batch, requestId(exchange), false, (share, headers) => {
    const answer = encodeV2({ modelName: model.name, modelVersion: model.version, id: request.id ?? share.requestId, batch: answerOutputs(share), request });
    if (answer.headerLength === null) sendPacked(exchange, jsonType, answer.head, headers);
    else sendPacked(exchange, 'application/octet-stream', [Buffer.from(answer.head), ...answer.binary], `${headers}Inference-Header-Content-Length: ${answer.headerLength}\r\n`);
  });
}
