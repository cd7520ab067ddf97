/** The client with the real program, which is on the PATH and hears tones; SPEECH is ten words. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { dictate } from "../../../examples/node-client/index.js";

const { SPEECH } = process.env;
const WORDS = "alfa bravo charlie delta echo foxtrot golf hotel india juliett";

/** Plays the file as a microphone would, and stops behaving so after two words. */
async function afterTwoWords(options, act) {
  const dictation = dictate({ input: SPEECH, realtime: true, events: ["speech"], ...options });
  let spoken = 0;
  for await (const event of dictation) {
    if (event.type === "speech" && event.state === "end" && ++spoken === 2) act(dictation);
  }
  return dictation;
}

function gone(pid) {
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
}

test("a file is transcribed, with levels and words on the way", async () => {
  const dictation = dictate({ input: SPEECH, events: ["level", "timing"], words: true, meta: true });
  const types = new Set();
  let words = [];
  let stages;
  for await (const event of dictation) {
    types.add(event.type);
    assert.ok(Math.abs(event.received_ms - Date.now()) < 60_000);
    if (event.type === "timing") stages = event.stages;
    if (event.type === "chunk") words = words.concat(event.words.map((word) => word.text));
  }
  assert.deepEqual([...types].sort(), "chunk done hello level ready timing".split(" "));
  assert.equal(words.join(" "), WORDS);
  assert.ok(stages.key_ms < 0, "the key was pressed before the program began");
  const done = await dictation.finished;
  assert.equal(done.full_text, WORDS);
  assert.equal(done.stop_reason, "end_of_input");
  assert.equal(dictation.text, WORDS);
});

test("a stop leaves nothing out that was said before", async () => {
  const dictation = await afterTwoWords({ meta: true }, (dictation) => dictation.stop());
  const done = await dictation.finished;
  assert.equal(done.full_text, "alfa bravo");
  assert.equal(done.stop_reason, "stop");
  gone(dictation.pid);
});

test("a stop that stdin does not carry comes as SIGINT", async () => {
  const dictation = await afterTwoWords({ meta: true, startTimeoutMs: 60_000 }, (dictation) => {
    process.kill(dictation.pid, "SIGINT");
    dictation.stop({ timeoutMs: 0 });
  });
  assert.equal((await dictation.finished).full_text, "alfa bravo");
});

test("a cancel ends it now and says so", async () => {
  const lines = afterTwoWords({}, (dictation) => dictation.cancel());
  await assert.rejects(lines, { name: "DictationError", code: "aborted", exitCode: 130 });
});

test("an abort signal ends it now", async () => {
  const controller = new AbortController();
  const lines = afterTwoWords({ signal: controller.signal }, () => controller.abort());
  await assert.rejects(lines, { name: "AbortError" });
});

test("leaving the loop frees the microphone", async () => {
  const dictation = dictate({ input: SPEECH, realtime: true });
  for await (const event of dictation) {
    if (event.type === "ready") break;
  }
  gone(dictation.pid);
});

test("audio of the host's own is transcribed", async () => {
  const pcm = readFileSync(SPEECH).subarray(44);
  const dictation = dictate({ input: "-", inputRate: 16_000 });
  for (let at = 0; at < pcm.length; at += 10_001) dictation.audio.write(pcm.subarray(at, at + 10_001));
  assert.equal((await dictation.stop()).full_text, WORDS);
});

test("a stop cuts none of the host's own audio off, however much is not taken yet", async () => {
  const { PARAKEET_COREML_MODEL: script } = process.env;
  const slow = `${script}-slow.json`;
  writeFileSync(slow, JSON.stringify({ ...JSON.parse(readFileSync(script, "utf8")), delay_s: 0.3 }));
  const pcm = readFileSync(SPEECH).subarray(44);
  const dictation = dictate({ input: "-", model: slow, chunkSeconds: 5, overlapSeconds: 1 });
  for (let times = 0; times < 6; times++) dictation.audio.write(pcm);
  assert.equal((await dictation.stop()).full_text, Array(6).fill(WORDS).join(" "));
});

test("audio of the host's own can be cancelled", async () => {
  const dictation = dictate({ input: "-" });
  for await (const event of dictation) if (event.type === "hello") break;
  gone(dictation.pid);
});

test("a missing model says how to get it", async () => {
  const dictation = dictate({ input: SPEECH, backend: "onnx", model: "v3", modelsDir: "/nonexistent" });
  await assert.rejects(dictation.finished, (error) => {
    assert.equal(error.code, "model_missing");
    assert.equal(error.exitCode, 20);
    assert.match(error.hint, /models download v3/);
    return true;
  });
});

test("a wrong option says which", async () => {
  const { finished } = dictate({ input: SPEECH, chunkSeconds: 1 });
  await assert.rejects(finished, { code: "usage", exitCode: 2, message: /chunk-seconds/ });
});

test("what the program says to people arrives", async () => {
  let said = "";
  const dictation = dictate({ input: "/nonexistent.wav", onStderr: (text) => (said += text) });
  await assert.rejects(dictation.finished, { code: "usage" });
  assert.match(said, /nonexistent\.wav/);
});
