// Does a job (see reader_test.go) with llama.cpp.
// usage: node llamacpp.mjs PACKAGES JOB, with the folder of node-llama-cpp
import fs from 'node:fs';
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';

const [packages, path] = process.argv.slice(2);
const {getLlama} = await import(pathToFileURL(createRequire(packages + '/').resolve('node-llama-cpp')).href);
const job = JSON.parse(fs.readFileSync(path, 'utf8'));

const llama = await getLlama({gpu: false, build: 'never', logLevel: 'error', progressLogs: false});
const model = await llama.loadModel({modelPath: job.model});
// A full context would be shifted. A second thread waits for the first by
// counting, which takes long where the processor is shared.
const context = await model.createContext({contextSize: 256, batchSize: 256, threads: 1});
const sequence = context.getSequence();

const rows = [];
for (const window of job.windows ?? []) {
  await sequence.clearHistory();
  const output = await sequence.controlledEvaluate(window.map(id => [id, {generateNext: {logits: true}}]));
  for (const {next} of output) {
    const row = new Float32Array(next.logits.size);
    for (const [id, logit] of next.logits) row[id] = logit;
    rows.push(Buffer.from(row.buffer));
  }
}
fs.writeFileSync(job.logits, Buffer.concat(rows));

const generated = [];
for (const prompt of job.prompts ?? []) {
  await sequence.clearHistory();
  const ids = [];
  for await (const id of sequence.evaluate(prompt, {temperature: 0, yieldEogToken: true})) {
    if (ids.push(id) === job.tokens) break;
  }
  generated.push(ids);
}
if (job.text) {
  const ids = model.tokenize(fs.readFileSync(job.text, 'utf8'), false);
  fs.writeFileSync(job.ids, Buffer.from(Int32Array.from(ids).buffer));
}
console.log(JSON.stringify({generated}));
process.exit(0);
