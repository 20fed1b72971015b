import { Value } from '@sinclair/typebox/value';
import type { FastifyRequest } from 'fastify';
import { PotorooError, UploadOptionsSchema, type ApiUploadOptions, type UploadQuery } from '@potoroo/contract';
import { fileOf, readForm, textOf } from '../form.ts';
import { bodyOf } from '../streams.ts';
import { compileValidator } from '../validation.ts';

/** What is uploaded: options, the name that the file came with, and its content. */
export interface Upload { readonly options: ApiUploadOptions & { framework: string }; readonly fileName: string | undefined; readonly content: AsyncIterable<Uint8Array> }

const maxOptions = 4 * 1024 * 1024;
const check = compileValidator({ schema: UploadOptionsSchema, method: 'POST', url: '', httpPart: 'body' });

function readOptions(text: string): ApiUploadOptions {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PotorooError('malformed_body', 'The part "options" is not JSON.', { cause: error });
  }
  const checked = check(value);
  if ('error' in checked) throw checked.error;
  return Value.Clone(checked.value) as ApiUploadOptions;
}

const missing = (field: string, rule: string): PotorooError => new PotorooError('invalid_request', `${field} is missing: ${rule}.`, { fields: [{ field, message: rule }] });

/**
 * The body is the file, or a form (multipart/form-data) with the parts `options`, JSON, and `file`, in this order: the file goes to
 * the store as it comes, and by then it has to be known what it is. `work` gets it; the form is left as soon as that is done.
 */
export async function withUpload<T>(request: FastifyRequest, query: UploadQuery, work: (upload: Upload) => Promise<T>): Promise<T> {
  const given = (options: ApiUploadOptions): ApiUploadOptions & { framework: string } => {
    const { framework } = options;
    if (framework === undefined) throw missing('framework', 'say what made the model, such as onnx');
    return { ...options, framework };
  };
  const type = request.headers['content-type'];
  if (type === undefined || !/^multipart\/form-data\b/i.test(type)) return work({ options: given(query), fileName: undefined, content: bodyOf(request) });
  const form = readForm(request.raw, type);
  try {
    let options: ApiUploadOptions = query;
    for (let next = await form.next(); !next.done; next = await form.next()) {
      const part = next.value;
      if (part.name === 'options') options = { ...query, ...readOptions(await textOf(part, maxOptions)) };
      else if (part.name === 'file') return await work({ options: given(options), fileName: part.fileName, content: fileOf(part, form) });
    }
    throw missing('file', 'the form needs a part of this name, after the part "options"');
  } finally {
    await form.return();
  }
}
