import { expect, it } from 'vitest';
import { lastLine } from './tool.ts';

it.each([
  ['Error: image not known\n', 'image not known'],
  ["time=1 level=warning\nError: initializing source: manifest unknown\n", 'initializing source: manifest unknown'],
  ["Unable to find image\ndocker: Error response from daemon: No such image: x:latest.\nSee 'docker run --help'.\n", 'Error response from daemon: No such image: x:latest'],
  ['', ''],
  ["See 'docker run --help'.", ''],
])('the last thing that a tool said in %j is %j', (said, line) => {
  expect(lastLine(said)).toBe(line);
});
