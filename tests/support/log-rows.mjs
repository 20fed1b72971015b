/**
 * Logs `rows` rows of one request each; what they hold tells which rows they are.
 * @param {{ append(group: unknown): void }} spool
 * @param {number} first
 * @param {number} rows
 */
export function appendRows(spool, first, rows) {
  spool.append({
    rows,
    columns: [
      { kind: 'tensor', name: 'in.x', type: 'float32', shape: [200], values: new Float32Array(rows * 200).fill(first) },
      { kind: 'tensor', name: 'out.y', type: 'float32', shape: [], values: Float32Array.from({ length: rows }, (_, i) => first + i) },
    ],
    requests: Array.from({ length: rows }, (_, i) => ({ rows: 1, timeMs: Date.now(), requestId: `r${first + i}`, elapsedNs: [1] })),
    lastModel: { name: 'm', sha: 'f00' },
  });
}
