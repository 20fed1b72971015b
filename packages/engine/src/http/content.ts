import { PotorooError } from '@potoroo/contract/plain';

/** Forms of inference data on the guide's endpoints. */
export type InputForm = 'json' | 'records' | 'wallaroo' | 'arrow';
export type OutputForm = 'json' | 'wallaroo' | 'arrow-file' | 'arrow-stream';

export const jsonType = 'application/json';
export const recordsType = 'application/json; format=pandas-records';
export const wallarooType = 'application/json; format=wallaroo';
export const arrowFileType = 'application/vnd.apache.arrow.file';
export const arrowStreamType = 'application/vnd.apache.arrow.stream';

const inputs: Readonly<Record<string, InputForm>> = {
  [jsonType]: 'json', 'application/json;format=pandas-records': 'records', 'application/json;format=wallaroo': 'wallaroo', [arrowFileType]: 'arrow', [arrowStreamType]: 'arrow',
};
const outputs: Readonly<Record<string, OutputForm>> = {
  [jsonType]: 'json', 'application/json;format=pandas-records': 'json', 'application/json;format=wallaroo': 'wallaroo', [arrowFileType]: 'arrow-file', [arrowStreamType]: 'arrow-stream',
  '*/*': 'json', 'application/*': 'json',
};

/** A media type without white space, charset and quality: what decides. */
function essence(text: string): { type: string; refused: boolean } {
  const [type = '', ...parameters] = text.toLowerCase().replace(/[\s"]/g, '').split(';');
  const format = parameters.find((p) => p.startsWith('format='));
  return { type: format === undefined ? type : `${type};${format}`, refused: parameters.some((p) => /^q=0(\.0*)?$/.test(p)) };
}

/** A client sends the same few values: each is read once. */
function remembered<T>(read: (text: string) => T): (text: string) => T {
  const seen = new Map<string, T>();
  return (text) => {
    let value = seen.get(text);
    if (value === undefined) {
      value = read(text);
      if (seen.size >= 128) seen.clear();
      seen.set(text, value);
    }
    return value;
  };
}

/** @throws PotorooError `unsupported_content_type` */
export const inputForm = remembered((contentType: string): InputForm => {
  const form = inputs[essence(contentType).type];
  if (form !== undefined) return form;
  throw new PotorooError('unsupported_content_type', `${contentType === '' ? 'The request has no Content-Type' : `Content-Type '${contentType.slice(0, 100)}' is not supported`}. Send one of: ${recordsType}; ${wallarooType}; ${arrowFileType}; ${arrowStreamType}.`);
});

/** @throws PotorooError `not_acceptable` */
export const outputForm = remembered((accept: string): OutputForm => {
  if (accept.trim() === '') return 'json';
  for (const part of accept.split(',')) {
    const { type, refused } = essence(part);
    const form = outputs[type];
    if (form !== undefined && !refused) return form;
  }
  throw new PotorooError('not_acceptable', `None of '${accept.slice(0, 100)}' can be answered. Accept one of: ${recordsType}, ${arrowFileType}, ${arrowStreamType}.`);
});
