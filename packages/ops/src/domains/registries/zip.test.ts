import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { zipOf } from './zip.ts';

const read = 'import json, sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nprint(json.dumps({n.filename: [n.file_size, z.read(n)[:20].decode("latin-1"), n.external_attr >> 16] for n in z.infolist()}))';

test('another program reads the archive, name for name and byte for byte', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'potoroo-zip-'));
  try {
    const parts = (...texts: (string | number)[]) => async function* () { for (const text of texts) yield typeof text === 'number' ? Buffer.alloc(text, 'x') : Buffer.from(text); };
    const entries = [
      { path: 'MLmodel', content: parts('flavors:', ' {}\n') }, { path: 'deep/er/empty.txt', content: parts() }, { path: 'naïve ☂.bin', content: parts('\u00ff\u0000') }, { path: 'large', content: parts(1_000_000, 1_000_000, 'end') },
    ];
    const pieces: Uint8Array[] = [];
    for await (const piece of zipOf(entries)) pieces.push(piece);
    writeFileSync(join(folder, 'a.zip'), Buffer.concat(pieces));
    const { stdout, stderr } = spawnSync('python3', ['-c', read, join(folder, 'a.zip')], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      MLmodel: [12, 'flavors: {}\n', 0o100644], 'deep/er/empty.txt': [0, '', 0o100644], 'naïve ☂.bin': [3, '\u00c3\u00bf\u0000', 0o100644], large: [2_000_003, 'x'.repeat(20), 0o100644],
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
