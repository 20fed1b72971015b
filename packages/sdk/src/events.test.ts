import { describe, expect, it } from 'vitest';
import { readEvents, type ServerEvent } from './events.ts';

const bytes = new TextEncoder();
async function read(...pieces: string[]) {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(bytes.encode(piece));
      controller.close();
    },
  });
  const events: ServerEvent[] = [];
  for await (const event of readEvents(body)) events.push(event);
  return events;
}

describe('server-sent events', () => {
  it('are the same however the stream is cut', async () => {
    const text = ': comment\r\nevent: status\r\ndata: {"a":1}\r\n\r\ndata: one\ndata: two\n\nevent: end\rdata:x\r\r';
    const expected = [{ event: 'status', data: '{"a":1}' }, { event: 'message', data: 'one\ntwo' }, { event: 'end', data: 'x' }];
    // The last line end is a lone carriage return, which could be half of a pair: a further byte settles it.
    const whole = `${text}\n`;
    expect(await read(whole)).toEqual(expected);
    for (let at = 1; at < whole.length; at += 1) expect(await read(whole.slice(0, at), whole.slice(at))).toEqual(expected);
    expect(await read(...whole.split(''))).toEqual(expected);
  });

  it('drops an event that the stream cut off', async () => {
    expect(await read('data: whole\n\ndata: ha')).toEqual([{ event: 'message', data: 'whole' }]);
  });

  it('gives up on a line without end instead of keeping it', async () => {
    await expect(read(`data: ${'x'.repeat(5 * 1024 * 1024)}`)).rejects.toThrow(RangeError);
  });
});
