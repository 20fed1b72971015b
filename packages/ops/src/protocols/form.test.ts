import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { readForm } from './form.ts';
import { boundary, formBody, formType, type Part } from './wallaroo/testing.ts';

async function read(body: Buffer, cut: (length: number) => number[], type = formType): Promise<{ name: string; fileName: string | undefined; content: string }[]> {
  const ends = [...cut(body.length), body.length];
  const chunks = ends.map((end, i) => body.subarray(i === 0 ? 0 : ends[i - 1], end)).filter((c) => c.length > 0);
  const parts = [];
  for await (const { name, fileName, content } of readForm(Readable.from(chunks, { objectMode: false }), type)) {
    const pieces: Buffer[] = [];
    for await (const piece of content) pieces.push(piece);
    parts.push({ name, fileName, content: Buffer.concat(pieces).toString('latin1') });
  }
  return parts;
}

/** Contents that look like what separates them. */
const parts: Part[] = [
  { name: 'metadata', content: '{"a": 1}', type: 'application/json' },
  { name: 'file', fileName: 'a "model".onnx'.replaceAll('"', '%22'), content: `\r\n--${boundary.slice(0, -1)}\r\n\r\n--\r\n-\r\r\n--`, type: 'application/octet-stream' },
  { name: 'empty', content: '' },
  { name: 'last', content: '\0\xff\r\n' },
];
const wanted = parts.map(({ name, content, fileName }) => ({ name, fileName: fileName?.replaceAll('%22', '"'), content: Buffer.from(content as string).toString('latin1') }));

describe('a form', () => {
  const body = formBody(parts);

  it('reads the same however it is cut into chunks', async () => {
    for (const size of [1, 2, 3, 7, 64, 1000]) {
      expect(await read(body, (length) => Array.from({ length: Math.floor(length / size) }, (_, i) => (i + 1) * size))).toEqual(wanted);
    }
    for (let at = 1; at < body.length; at += 1) expect(await read(body, () => [at])).toEqual(wanted);
  });

  it('that ends early is an error, wherever that is', async () => {
    for (let end = 0; end < body.length - 4; end += 1) await expect(read(body.subarray(0, end), () => [])).rejects.toThrow(/ends before its last boundary/);
  });

  it('may have something before and after it', async () => {
    expect(await read(Buffer.concat([Buffer.from('for old readers\r\n'), body, Buffer.from('and more')]), () => [])).toEqual(wanted);
  });

  it('gives the next part when one is not read to its end', async () => {
    const names = [];
    for await (const { name, content } of readForm(Readable.from([body.subarray(0, 150), body.subarray(150)]), formType)) {
      names.push(name);
      if (name === 'file') await content.next();
      await content.return();
    }
    expect(names).toEqual(wanted.map((p) => p.name));
  });

  it.each<[string, Buffer, string | undefined, RegExp]>([
    ['of another type', body, 'application/json', /multipart\/form-data/],
    ['without a type', body, undefined, /multipart\/form-data/],
    ['without a boundary', body, 'multipart/form-data', /no boundary/],
    ['with another boundary', body, 'multipart/form-data; boundary=other', /last boundary/],
    ['with a part without a name', Buffer.from(`--${boundary}\r\nContent-Type: text/plain\r\n\r\nx\r\n--${boundary}--`), formType, /no name/],
    ['with an endless head', Buffer.from(`--${boundary}\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`), formType, /too long/],
  ])('%s is refused', async (_, bytes, type, message) => {
    await expect(async () => { for await (const part of readForm(Readable.from([bytes]), type)) await part.content.return(); }).rejects.toThrow(message);
  });

  it('takes a boundary in quotes', async () => {
    expect(await read(body, () => [], `multipart/form-data; charset=utf-8; boundary="${boundary}"`)).toEqual(wanted);
  });
});
