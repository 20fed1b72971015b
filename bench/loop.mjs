// The other limit: a loop over the documented session.run in Node, no server at all. Prints {case: runs per second}.
import { readFileSync } from 'node:fs';
import ort from 'onnxruntime-node';

const dir = process.argv[2];
const seconds = Number(process.argv[3] ?? 3);
const cases = { row: ['mlp', 'dense_input', [1, 29]], rows: ['mlp', 'dense_input', [1000, 29]], image: ['cnn', 'tensor', [1, 3, 224, 224]] };
const lengths = JSON.parse(readFileSync(`${dir}/lengths.json`, 'utf8'));
const result = {};
for (const [name, [model, input, shape]] of Object.entries(cases)) {
  const session = await ort.InferenceSession.create(`${dir}/${model}.onnx`, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const body = readFileSync(`${dir}/${name}.v2bin`).subarray(lengths[name]);
  const x = new Float32Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.byteLength));
  const run = () => session.run({ [input]: new ort.Tensor('float32', x, shape) });
  for (let i = 0; i < 20; i++) await run();
  const start = performance.now();
  let n = 0;
  while (performance.now() - start < seconds * 1000) { await run(); n++; }
  result[name] = (n * 1000) / (performance.now() - start);
}
console.log(JSON.stringify(result));
