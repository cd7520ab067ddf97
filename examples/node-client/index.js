/**
 * Dictation for Node and Electron: one process per recording, its lines as an async iterator.
 *
 *     const dictation = dictate({ events: ["level"], signal });
 *     for await (const event of dictation) { … }   // ends after `done`, throws DictationError
 *     const { full_text } = await dictation.stop();  // from anywhere: the tail still comes
 *
 * No dependencies. The process must not be detached or started through a shell: macOS asks for the
 * microphone on behalf of the app that spawned it.
 */

import { spawn } from "node:child_process";
import { LineSplitter } from "./lines.js";

export { downloadModel, listDevices, listModels } from "./tools.js";

/** Milliseconds after a stop at which a program that does not end is told more firmly. */
export const LADDER = Object.freeze({ interrupt: 2_000, terminate: 5_000, kill: 8_000 });

const NEEDED_EVENTS = ["hello", "ready", "warning"]; // start-up and signs of life

/** The names of exit codes, for runs that wrote no error line. */
export const EXIT_NAMES = new Map(
  Object.entries({
    1: "internal",
    2: "usage",
    10: "no_device",
    11: "mic_silent",
    12: "device_lost",
    13: "overload",
    20: "model_missing",
    21: "model_corrupt",
    22: "model_unusable",
    23: "backend_failed",
    24: "download_failed",
    30: "output_lost",
    31: "storage",
    40: "deadline",
    130: "aborted",
    143: "aborted",
  }),
);

/** Why a recording did not end well. `text` has what was recognised all the same. */
export class DictationError extends Error {
  name = "DictationError";
  exitCode = null;
  signal = null;
  text = "";
  stderr = "";

  constructor(code, message, hint = "") {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

/** Starts a recording. Options that are not about the process become the program's own. */
export function dictate(options = {}) {
  return new Dictation(options);
}

class Dictation {
  /** Resolves to the `done` line, or rejects with a DictationError or the signal's reason. */
  finished;
  /** Takes raw PCM with `input: "-"`, else null. */
  audio = null;

  #child;
  #splitter = new LineSplitter();
  #decoder = new TextDecoder();
  #queue = [];
  #waiting = [];
  #settle;
  #gone;
  #ended = false;
  #thrown = false;
  #failure = null; // the client's own: spawn, timeouts, abort
  #errorLine = null;
  #odd = null;
  #texts = [];
  #done = null;
  #stderr = "";
  #options;
  #stopping = null;
  #patience = 0;
  #timers = new Map();

  constructor({
    command = "parakeet-coreml",
    cwd,
    env,
    signal,
    startTimeoutMs = 15_000,
    stopTimeoutMs = 70_000,
    onStderr = () => {},
    ...settings
  }) {
    const timed = settings.events === "all" || settings.events?.includes("timing");
    if (timed) settings.t0 ??= Date.now();
    this.#options = { signal, stopTimeoutMs, onStderr, raw: settings.input === "-", timed };
    this.finished = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.finished.catch(() => {}); // who only iterates learns it from the loop
    let tellGone;
    this.#gone = new Promise((resolve) => (tellGone = resolve));
    this.#gone.tell = tellGone;
    if (signal?.aborted) {
      this.#failure = signal.reason;
      queueMicrotask(() => this.#end(null, null));
      return;
    }
    this.#start([command].flat(), programArguments(settings), { cwd, env });
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#after("start", startTimeoutMs, () => this.#onStartTimeout(startTimeoutMs));
  }

  /** The process, or undefined where it could not be started. */
  get pid() {
    return this.#child?.pid;
  }

  /** What was recognised so far. */
  get text() {
    return this.#done?.full_text ?? this.#texts.filter(Boolean).join(" ");
  }

  /**
   * Ends the recording: what was said is still recognised. Resolves to the `done` line.
   *
   * SIGINT follows after 2 s; it asks for the same. SIGTERM, which gives the rest up, follows after
   * 5 s, but not before `timeoutMs` have passed without a line; SIGKILL 3 s later. With raw PCM SIGINT
   * waits like SIGTERM, 3 s before it: it would cut off what has not been taken yet.
   */
  stop({ timeoutMs = this.#options.stopTimeoutMs } = {}) {
    this.#climb("stop", timeoutMs);
    return this.finished;
  }

  /** Lets the microphone go until `resume()`; what was said is recognised, and its chunk comes. */
  pause() {
    this.#command("pause");
  }

  /** Opens the microphone again; a `state` line tells when it records. */
  resume() {
    this.#command("resume");
  }

  /** Ends it now, without recognising the rest. Resolves when the process is gone. */
  cancel() {
    this.#climb("cancel", 0);
    return this.#gone;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next() {
    if (this.#queue.length > 0) {
      return Promise.resolve({ value: this.#queue.shift(), done: false });
    }
    if (!this.#ended) {
      return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    }
    if (this.#failure && !this.#thrown) {
      this.#thrown = true;
      return Promise.reject(this.#failure);
    }
    return Promise.resolve({ value: undefined, done: true });
  }

  /** A loop that is left early has lost its interest: the recording is cancelled. */
  async return() {
    this.#thrown = true;
    await this.cancel();
    return { value: undefined, done: true };
  }

  // The process

  #start([program, ...first], args, { cwd, env }) {
    const child = spawn(program, [...first, "progressive-record", ...args], {
      cwd,
      env,
      stdio: ["pipe", "pipe", "pipe"],
      windowsHide: true,
    });
    this.#child = child;
    child.on("error", (error) => this.#onSpawnError(error, program));
    if (!child.stdin) return; // no descriptors left for pipes: the error event follows
    // Without these, a program that ends before it has read or written everything would end us.
    for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.on("error", () => {});
    if (this.#options.raw) this.audio = child.stdin;
    child.stdout.on("data", (bytes) => this.#splitter.push(bytes).forEach((l) => this.#take(l)));
    child.stderr.on("data", (bytes) => this.#hear(this.#decoder.decode(bytes, { stream: true })));
    // A process it left behind may hold the pipes: then its exit has to do.
    child.on("exit", (code, signal) => this.#after("close", 2_000, () => this.#end(code, signal)));
    child.on("close", (code, signal) => this.#end(code, signal));
  }

  #take(line) {
    const event = parse(line);
    if (event === null) {
      this.#odd ??= `not a line of ours: ${line.slice(0, 80)}`;
      return;
    }
    if (this.#options.timed) event.received_ms = performance.timeOrigin + performance.now();
    if (event.type === "chunk") this.#texts.push(event.text);
    if (event.type === "error") this.#errorLine ??= event; // the first one sets the exit code
    if (event.type === "done") this.#done = event;
    if (event.type === "ready") this.#clear("start");
    if (this.#timers.has("terminate") && this.#patience > 0) this.#awaitEnd(this.#patience);
    const waiting = this.#waiting.shift();
    if (waiting) waiting.resolve({ value: event, done: false });
    else this.#queue.push(event);
  }

  #hear(text) {
    this.#stderr = (this.#stderr + text).slice(-8_192);
    this.#options.onStderr(text);
  }

  // How it ends

  #climb(word, patience) {
    if (this.#ended || this.#stopping === "cancel") return;
    this.#stopping = word;
    this.#patience = patience;
    if (this.#options.raw) this.#endRaw(word);
    else this.#child?.stdin?.write(`${word}\n`);
    this.#interruptAfter(LADDER.interrupt);
    this.#awaitEnd(Math.max(LADDER.terminate, patience));
  }

  #command(word) {
    if (!this.#ended && !this.#stopping && !this.#options.raw) this.#child?.stdin?.write(`${word}\n`);
  }

  #endRaw(word) {
    this.#child.stdin.end();
    if (word === "cancel") {
      this.#child.kill("SIGINT");
      // A second one sooner than after half a second is taken for the same request arriving twice.
      this.#after("again", 600, () => this.#child.kill("SIGTERM"));
    }
  }

  #interruptAfter(delay) {
    this.#after("interrupt", delay, () => this.#child?.kill("SIGINT"));
  }

  #awaitEnd(delay) {
    if (this.#options.raw && this.#timers.has("interrupt")) {
      this.#interruptAfter(delay - LADDER.terminate + LADDER.interrupt);
    }
    this.#after("terminate", delay, () => {
      if (this.#stopping === "stop") {
        this.#failure ??= new DictationError("stop_timeout", "it did not end when asked to");
      }
      this.#child?.kill("SIGTERM");
      this.#after("kill", LADDER.kill - LADDER.terminate, () => this.#child?.kill("SIGKILL"));
    });
  }

  #onAbort = () => {
    this.#failure ??= this.#options.signal.reason;
    this.cancel();
  };

  #onStartTimeout(limit) {
    const hint = "a microphone that is slow to connect, or a broken installation";
    this.#failure ??= new DictationError("start_timeout", `no sound after ${limit} ms`, hint);
    this.cancel();
  }

  #onSpawnError(error, program) {
    if (this.#child.pid !== undefined) return; // a signal that could not be sent
    const message = `cannot start ${program}: ${error.message}`;
    const hint = "check the path: inside app.asar nothing can be started";
    this.#failure ??= new DictationError("spawn_failed", message, hint);
    this.#end(null, null);
  }

  #end(exitCode, signal) {
    if (this.#ended) return;
    this.#splitter.end().forEach((line) => this.#take(line));
    this.#ended = true;
    this.#timers.forEach((timer) => clearTimeout(timer));
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    for (const pipe of this.#child?.stdio ?? []) pipe?.destroy(); // a process it left may hold them
    this.#failure ??= this.#verdict(exitCode, signal);
    if (this.#failure instanceof DictationError) {
      Object.assign(this.#failure, { exitCode, signal, text: this.text, stderr: this.#stderr });
    }
    if (this.#failure) this.#settle.reject(this.#failure);
    else this.#settle.resolve(this.#done);
    this.#gone.tell();
    this.#waiting.splice(0).forEach(({ resolve, reject }) => this.next().then(resolve, reject));
  }

  /** Returns null for a recording that ended well, else what went wrong. */
  #verdict(exitCode, signal) {
    if (this.#errorLine) {
      const { code, message, hint } = this.#errorLine;
      return new DictationError(code, message, hint);
    }
    if (exitCode === 0) {
      if (this.#done && !this.#odd) return null;
      return new DictationError("protocol", this.#odd || "it ended without a last line");
    }
    const said = this.#stderr.match(/^Error: (.*)$/m)?.[1];
    const code = EXIT_NAMES.get(String(exitCode)) ?? "crashed";
    return new DictationError(code, said ?? `it ended with ${signal ?? exitCode}`);
  }

  #after(name, delay, act) {
    this.#clear(name);
    const due = () => {
      this.#timers.delete(name);
      act();
    };
    this.#timers.set(name, setTimeout(due, delay));
  }

  #clear(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

/** Returns the program's own options as arguments: `chunkSeconds: 15` is `--chunk-seconds=15`. */
function programArguments({ events = [], args = [], ...settings }) {
  const own = Object.entries(settings)
    .flatMap(([key, value]) => [value].flat().map((one) => [key, one])) // a list is an option each
    .filter(([, value]) => value !== undefined && value !== null && value !== false)
    .map(([key, value]) => {
      const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      return value === true ? flag : `${flag}=${value}`;
    });
  const wanted = events === "all" ? "all" : [...new Set([...NEEDED_EVENTS, ...events])].join(",");
  return [...own, `--events=${wanted}`, ...args];
}

/** Returns the object on a line, or null if there is none. */
function parse(line) {
  try {
    const event = JSON.parse(line);
    return typeof event?.type === "string" ? event : null;
  } catch {
    return null;
  }
}
