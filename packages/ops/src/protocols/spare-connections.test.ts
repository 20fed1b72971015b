import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { spareConnections } from './spare-connections.ts';

it('a connection opened ahead does not hold up the stop, and a request in progress is answered', async () => {
  let answer: ServerResponse | undefined;
  const server = createServer((_request, response) => { answer = response; }).listen(0, '127.0.0.1');
  const spare = spareConnections(server);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const ahead = connect(port, '127.0.0.1');
  const asking = connect(port, '127.0.0.1');
  asking.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await expect.poll(() => answer !== undefined && ahead.readyState === 'open').toBe(true);

  const closed = once(server, 'close');
  server.close();
  spare.close();
  await once(ahead.resume(), 'close');
  answer?.end('done');
  expect(await text(asking)).toContain('done');
  await closed;
});
