/**
 * Requests at a steady rate, whether answers come or not: steady.mjs URL BODY-FILE RATE SECONDS EXPECTED-FILE [HEADER: VALUE]...
 *
 * Prints {sent, right, wrong, missing, p50, p95, p99, max, late}: milliseconds from writing a request to its whole answer, which is compared
 * with the expected bytes. `missing` are those that were not answered half a second after the last was sent; `late` is the most that this
 * process was behind its own plan, so that a starved client is seen for what it is.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

const [url, bodyFile, rateText, secondsText, expectedFile, ...headers] = process.argv.slice(2);
const { hostname, port, pathname, search } = new URL(url);
const body = readFileSync(bodyFile);
const expected = readFileSync(expectedFile);
const [rate, seconds] = [Number(rateText), Number(secondsText)];
const head = [`POST ${pathname}${search} HTTP/1.1`, `Host: ${hostname}`, ...headers, `Content-Length: ${body.length}`, '', ''].join('\r\n');
const request = Buffer.concat([Buffer.from(head), body]);
const most = 512;
const idle = [];
const latencies = [];
let [open, sent, right, wrong, late] = [0, 0, 0, 0, 0];

/** One connection, one request at a time. */
function connection() {
  const socket = connect({ host: hostname, port, noDelay: true });
  let rest = Buffer.alloc(0);
  let begun = 0;
  const one = { send() { begun = performance.now(); socket.write(request); } };
  socket.on('data', (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return;
    const said = rest.toString('latin1', 0, end);
    const length = Number(/content-length: (\d+)/i.exec(said)?.[1]);
    if (rest.length < end + 4 + length) return;
    latencies.push(performance.now() - begun);
    if (said.startsWith('HTTP/1.1 200') && rest.subarray(end + 4, end + 4 + length).equals(expected)) right++;
    else wrong++;
    rest = rest.subarray(end + 4 + length);
    idle.push(one);
  });
  const lost = () => { open--; socket.destroy(); };
  socket.on('error', lost);
  return one;
}

const start = performance.now();
await new Promise((resolve) => {
  const tick = () => {
    const now = performance.now();
    const due = Math.min(Math.floor(((now - start) / 1000) * rate), rate * seconds);
    late = Math.max(late, ((due - sent) / rate) * 1000);
    for (; sent < due; sent++) {
      let one = idle.pop();
      if (one === undefined && open < most) { open++; one = connection(); }
      one?.send();
    }
    if (sent < rate * seconds) setTimeout(tick, 1);
    else setTimeout(resolve, 500);
  };
  tick();
});
latencies.sort((a, b) => a - b);
const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
console.log(JSON.stringify({ sent, right, wrong, missing: sent - right - wrong, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1), late }));
process.exit(0);
