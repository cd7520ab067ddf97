/** Programs that behave badly, by name; each tells what it is told as a warning line. */

import { spawn } from "node:child_process";
import process from "node:process";
import { writeSync } from "node:fs";

const say = (fields) => writeSync(1, `${JSON.stringify(fields)}\n`);
const tell = (code) => say({ type: "warning", code, message: "told" });
const ready = () => {
  say({ type: "ready", what: "capture", t_ms: 0, device: { name: "fake", sample_rate: 48000 } });
};
const chunk = (index, text) => {
  say({ type: "chunk", index, text, confidence: 0.9, elapsed_ms: 5 });
};
const done = (text) => say({ type: "done", totalChunks: 1, full_text: text });
const onCommand = (act) => {
  process.stdin.on("data", (data) => {
    for (const word of data.toString().split("\n").filter(Boolean)) act(word);
  });
};

const BEHAVIOURS = {
  /** Hears everything and ends for nothing. */
  stubborn() {
    for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => tell(name));
    onCommand(tell);
    setInterval(() => {}, 1e6);
    ready();
  },
  /** Gives no sound, but ends when it has to. */
  mute() {
    onCommand((word) => {
      tell(word);
      done("");
      process.exit(word === "cancel" ? 130 : 0);
    });
  },
  /** Writes its lines in pieces of one byte; nothing ends the last. */
  async drip() {
    const lines = [
      { type: "chunk", index: 0, text: "größer 🎤 日本", confidence: 1, elapsed_ms: 0 },
      { type: "done", totalChunks: 1, full_text: "größer 🎤 日本" },
    ];
    for (const byte of Buffer.from(lines.map((line) => JSON.stringify(line)).join("\n"))) {
      await new Promise((resolve) => process.stdout.write(Buffer.of(byte), resolve));
      await new Promise(setImmediate);
    }
  },
  /** Is killed in the middle of a line. */
  crash() {
    chunk(0, "fix the");
    writeSync(1, '{"type":"chu');
    process.kill(process.pid, "SIGKILL");
  },
  /** Prints what a library would. */
  noise() {
    writeSync(1, "Loading model…\n[]\nnull\n");
    chunk(0, "fix");
    done("fix");
  },
  /** Says goodbye with no last line. */
  curt() {
    chunk(0, "fix");
  },
  /** Ends without having read its input. */
  deaf() {
    process.stdin.destroy();
    ready();
    done("");
  },
  /** Leaves a process behind that holds its pipes. */
  littering() {
    const child = spawn("sleep", ["30"], { stdio: ["ignore", "inherit", "inherit"] });
    child.unref();
    say({ type: "warning", code: String(child.pid), message: "left behind" });
    done("");
    process.exit(0);
  },
  /** Two errors, then the rest and the exit code of the first. */
  failing() {
    say({ type: "error", code: "device_lost", message: "it is gone", hint: "plug it in" });
    chunk(0, "fix the login");
    say({ type: "error", code: "backend_failed", message: "that too", hint: "" });
    done("fix the login");
    process.exitCode = 12;
  },
  /** Ends at once and tells its arguments. */
  listing() {
    ready();
    done(process.argv.slice(4).join("|"));
  },
  /** Refuses like the real one: words on stderr, exit code 2. */
  refusing() {
    process.stderr.write("Usage: parakeet-coreml …\n\nError: No such option: --odd\n");
    process.exitCode = 2;
  },
};

BEHAVIOURS[process.argv[2]]();
