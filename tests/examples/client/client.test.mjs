/** The client against programs that behave badly. Each test is run by itself; see test_client.py. */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { dictate, DictationError, LADDER } from "../../../examples/node-client/index.js";
import { LineSplitter } from "../../../examples/node-client/lines.js";
import { fakeClock } from "./fake_clock.mjs";

const PROGRAM = fileURLToPath(new URL("program.mjs", import.meta.url));
const start = (behaviour, options) =>
  dictate({ command: [process.execPath, PROGRAM, behaviour], ...options });

async function until(dictation, key, value) {
  for (;;) {
    const { value: event, done } = await dictation.next();
    assert(!done, `it ended before ${key} ${value}`);
    if (event[key] === value) return event;
  }
}

async function failure(promise) {
  return assert.rejects(promise).then(() => promise.catch((error) => error));
}

async function all(dictation) {
  const events = [];
  for await (const event of dictation) events.push(event);
  return events;
}

// Options

test("a list is an option given several times", async () => {
  const { full_text } = await start("listing", { phrase: ["etcd", "a b"], device: [], meta: true }).finished;
  assert(full_text.startsWith("--phrase=etcd|--phrase=a b|--meta|--events="), full_text);
});

// Lines

test("lines are the same however their bytes are cut", () => {
  const bytes = Buffer.from("größer\n\n🎤 日本\nlast");
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second++) {
      const splitter = new LineSplitter();
      const pieces = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)];
      const lines = [...pieces.flatMap((piece) => splitter.push(piece)), ...splitter.end()];
      assert.deepEqual(lines, ["größer", "", "🎤 日本", "last"]);
    }
  }
});

test("nothing is left where the last line is ended", () => {
  const splitter = new LineSplitter();
  assert.deepEqual(splitter.push(Buffer.from("a\n")), ["a"]);
  assert.deepEqual(splitter.end(), []);
});

test("a line that comes byte by byte and one without an end are whole", async () => {
  const dictation = start("drip");
  const [chunk, done] = await all(dictation);
  assert.equal(chunk.text, "größer 🎤 日本");
  assert.equal(done.full_text, "größer 🎤 日本");
  assert.deepEqual(await dictation.finished, done);
});

// How it ends

test("the ladder is 2, 5 and 8 seconds", () => {
  assert.deepEqual({ ...LADDER }, { interrupt: 2_000, terminate: 5_000, kill: 8_000 });
});

test("a stubborn program is told to stop, then interrupted, terminated and killed", async (t) => {
  const clock = fakeClock(t);
  const dictation = start("stubborn");
  await until(dictation, "type", "ready");
  assert.deepEqual(clock.due(), []);
  const ended = failure(dictation.stop({ timeoutMs: 0 }));
  await until(dictation, "code", "stop");
  assert.deepEqual(clock.due(), [2_000, 5_000]);
  clock.passTo(2_000);
  await until(dictation, "code", "SIGINT");
  assert.deepEqual(clock.due(), [5_000]);
  clock.passTo(5_000);
  await until(dictation, "code", "SIGTERM");
  assert.deepEqual(clock.due(), [8_000]);
  clock.passTo(8_000);
  const error = await ended;
  assert.equal(error.code, "stop_timeout");
  assert.equal(error.signal, "SIGKILL");
  assert.equal(error.exitCode, null);
});

test("a program that is still at work after a stop is not terminated", async (t) => {
  const clock = fakeClock(t);
  const dictation = start("stubborn");
  await until(dictation, "type", "ready");
  dictation.stop();
  await until(dictation, "code", "stop");
  assert.deepEqual(clock.due(), [2_000, 70_000]);
  clock.passTo(2_000);
  await until(dictation, "code", "SIGINT"); // a line: it lives
  assert.deepEqual(clock.due(), [72_000]);
  clock.passTo(72_000);
  await until(dictation, "code", "SIGTERM");
  assert.deepEqual(clock.due(), [75_000]);
  clock.passTo(75_000);
  assert.equal((await failure(dictation.finished)).code, "stop_timeout");
});

test("raw audio is not interrupted while lines come", async (t) => {
  const clock = fakeClock(t);
  const dictation = start("stubborn", { input: "-" });
  await until(dictation, "type", "ready");
  dictation.stop();
  assert.deepEqual(clock.due(), [67_000, 70_000]);
  clock.passTo(60_000);
  process.kill(dictation.pid, "SIGINT");
  await until(dictation, "code", "SIGINT"); // a line: it lives
  assert.deepEqual(clock.due(), [127_000, 130_000]);
  clock.passTo(127_000);
  await until(dictation, "code", "SIGINT"); // no second one may follow: it would give up the rest
  assert.deepEqual(clock.due(), [197_000]);
  clock.passTo(197_000);
  await until(dictation, "code", "SIGTERM");
  clock.passTo(200_000);
  assert.equal((await failure(dictation.finished)).code, "stop_timeout");
});

test("an app that quits does not wait for raw audio", async (t) => {
  const clock = fakeClock(t);
  const dictation = start("stubborn", { input: "-" });
  await until(dictation, "type", "ready");
  dictation.stop({ timeoutMs: 0 });
  assert.deepEqual(clock.due(), [2_000, 5_000]);
  clock.passTo(8_000);
  await assert.rejects(dictation.finished, { code: "stop_timeout" });
});

test("a stop can be turned into a cancel", async (t) => {
  const clock = fakeClock(t);
  const dictation = start("stubborn");
  await until(dictation, "type", "ready");
  dictation.stop();
  await until(dictation, "code", "stop");
  const gone = dictation.cancel();
  await until(dictation, "code", "cancel");
  assert.deepEqual(clock.due(), [2_000, 5_000]);
  clock.passTo(8_000);
  await gone;
});

test("no sound in time is an error of its own, and the program is told to leave", async (t) => {
  const clock = fakeClock(t);
  const dictation = start("mute");
  assert.deepEqual(clock.due(), [15_000]);
  clock.passTo(15_000);
  await until(dictation, "code", "cancel");
  const error = await failure(dictation.finished);
  assert(error instanceof DictationError);
  assert.equal(error.code, "start_timeout");
  assert.equal(error.exitCode, 130);
});

test("a stop before there is sound ends well", async (t) => {
  fakeClock(t);
  const dictation = start("mute");
  assert.equal((await dictation.stop()).full_text, "");
});

test("an abort signal cancels, and its reason is thrown", async (t) => {
  fakeClock(t);
  const controller = new AbortController();
  const dictation = start("mute", { signal: controller.signal });
  const lines = failure(all(dictation));
  controller.abort();
  assert.equal((await lines).name, "AbortError");
  await assert.rejects(dictation.finished, { name: "AbortError" });
});

test("a signal that was aborted before starts nothing", async () => {
  const dictation = start("stubborn", { signal: AbortSignal.abort(new Error("too late")) });
  assert.equal(dictation.pid, undefined);
  await assert.rejects(all(dictation), { message: "too late" });
});

test("leaving the loop cancels, and waits until the program is gone", async (t) => {
  fakeClock(t);
  const dictation = start("mute");
  queueMicrotask(() => dictation.cancel()); // so that a line comes
  for await (const event of dictation) {
    assert.equal(event.code, "cancel");
    break;
  }
  assert.throws(() => process.kill(dictation.pid, 0), { code: "ESRCH" });
});

// What goes wrong

test("a program that is absent is an error, not an exception", async () => {
  const error = await failure(dictate({ command: "/nonexistent/parakeet-coreml" }).finished);
  assert.equal(error.code, "spawn_failed");
  assert.match(error.message, /\/nonexistent\/parakeet-coreml/);
  assert.match(error.hint, /app\.asar/);
});

test("the loop learns it as well, once", async () => {
  const dictation = dictate({ command: "/nonexistent/parakeet-coreml" });
  await assert.rejects(dictation.next(), { code: "spawn_failed" });
  assert.deepEqual(await dictation.next(), { value: undefined, done: true });
});

test("a crash is told with what was recognised before", async () => {
  const dictation = start("crash");
  const error = await failure(all(dictation));
  assert.equal(error.code, "crashed");
  assert.equal(error.signal, "SIGKILL");
  assert.equal(error.text, "fix the");
});

test("the first error is the one that counts, and the words after it are kept", async () => {
  const dictation = start("failing");
  const events = [];
  const error = await failure((async () => {
    for await (const event of dictation) events.push(event.type);
  })());
  assert.deepEqual(events, ["error", "chunk", "error", "done"]);
  assert.equal(error.code, "device_lost");
  assert.equal(error.message, "it is gone");
  assert.equal(error.hint, "plug it in");
  assert.equal(error.exitCode, 12);
  assert.equal(error.text, "fix the login");
});

test("a refused call says why", async () => {
  const error = await failure(start("refusing").finished);
  assert.equal(error.code, "usage");
  assert.equal(error.exitCode, 2);
  assert.equal(error.message, "No such option: --odd");
  assert.match(error.stderr, /^Usage/);
});

test("what is no line of ours is told, and nothing is lost for it", async () => {
  const error = await failure(start("noise").finished);
  assert.equal(error.code, "protocol");
  assert.match(error.message, /Loading model/);
  assert.equal(error.text, "fix");
});

test("an end without a last line is told", async () => {
  const error = await failure(start("curt").finished);
  assert.equal(error.code, "protocol");
  assert.equal(error.text, "fix");
});

test("a program that reads nothing does not break its host", async () => {
  const dictation = start("deaf", { input: "-" });
  await until(dictation, "type", "ready");
  for (let i = 0; i < 100; i++) dictation.audio.write(Buffer.alloc(65_536));
  assert.equal((await dictation.finished).full_text, "");
});

test("a process that was left behind holds nothing up", async (t) => {
  const clock = fakeClock(t);
  const dictation = start("littering");
  const { code: pid } = await until(dictation, "type", "warning");
  await until(dictation, "type", "done");
  while (!clock.due().includes(2_000)) await new Promise(setImmediate); // until its exit is seen
  clock.passTo(2_000);
  assert.equal((await dictation.finished).type, "done");
  process.kill(Number(pid));
});

test("nobody has to listen", async () => {
  start("failing");
  start("crash");
  assert.equal((await failure(start("crash").finished)).code, "crashed");
});
