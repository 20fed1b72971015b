import type { ChildProcess } from 'node:child_process';

/** A model that prints without end must not fill the log: per second that many lines, each cut to that length. */
const linesPerSecond = 500;
const lineLength = 4096;
const lastLines = 50;

/** Once calm it is read so often. What is written meanwhile stays in the pipe, and a process that fills it waits. */
const calmMs = 50;

export interface CollectedLog {
  /** The last lines, most recent last. */
  readonly last: readonly string[];
  /** From here on a process that writes line by line does not have this one look at each. */
  calm(): void;
}

/** Hands on the lines of a process, no more than a bound, and keeps the last ones. */
export function collectLog(child: ChildProcess, onLog: (stream: 'stdout' | 'stderr', line: string) => void): CollectedLog {
  let isCalm = false;
  let over = false;
  child.once('exit', () => {
    over = true;
    child.stdout?.resume();
    child.stderr?.resume();
  });
  const last: string[] = [];
  let second = 0;
  let count = 0;
  for (const stream of ['stdout', 'stderr'] as const) {
    const source = child[stream];
    if (source === null) continue;
    const put = (line: string): void => {
      const now = Math.floor(Date.now() / 1000);
      if (now !== second) {
        if (count > linesPerSecond) onLog(stream, `(${count - linesPerSecond} lines left out: at most ${linesPerSecond} a second are kept)`);
        second = now;
        count = 0;
      }
      if (++count > linesPerSecond) return;
      last.push(line);
      if (last.length > lastLines) last.shift();
      onLog(stream, line);
    };
    let rest = '';
    source.setEncoding('utf8');
    source.on('data', (text: string) => {
      if (isCalm && !over) {
        source.pause();
        setTimeout(() => source.resume(), calmMs).unref();
      }
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() !== '') put(line.length > lineLength ? `${line.slice(0, lineLength)}…` : line);
      if (rest.length > lineLength * 2) rest = rest.slice(0, lineLength * 2); // one endless line is cut, not kept
    });
    source.on('end', () => { if (rest.trim() !== '') put(rest.slice(0, lineLength)); });
  }
  return { last, calm: () => { isCalm = true; } };
}
