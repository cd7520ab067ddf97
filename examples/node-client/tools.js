/**
 * What a host asks before it records: which microphones and models there are, and a model's download.
 */

import { spawn } from "node:child_process";
import { DictationError, EXIT_NAMES } from "./index.js";
import { LineSplitter } from "./lines.js";

/** Returns the microphones: `[{ index, name, host_api, channels, rate, is_default }]`. */
export async function listDevices(options = {}) {
  return (await lines(["devices", "--json"], options)).flat();
}

/** Returns the models in every form: `[{ name, backend, bytes, done_bytes, state, path }]`. */
export async function listModels({ modelsDir, ...options } = {}) {
  return lines(["models", "list", "--json", ...folder(modelsDir)], options);
}

/**
 * Downloads a model, or goes on with it; resolves when it is installed and every byte is verified.
 *
 * Aborting the signal stops it and keeps what has arrived. Rejects with a DictationError, whose code is
 * `download_failed` or `storage`, or with the signal's reason.
 */
export async function downloadModel(name, { modelsDir, onProgress = () => {}, ...options } = {}) {
  const take = (line) => line.type === "progress" && onProgress(line);
  await lines(["models", "download", name, ...folder(modelsDir)], { ...options, take });
}

const folder = (modelsDir) => (modelsDir ? [`--models-dir=${modelsDir}`] : []);

/** Runs a command of the program and returns its lines, each told to `take` as it comes. */
function lines(args, { command = "parakeet-coreml", cwd, env, signal, take = () => {} }) {
  const [program, ...first] = [command].flat();
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...first, ...args], { cwd, env, windowsHide: true });
    const splitter = new LineSplitter();
    const found = [];
    let said = "";
    const push = (line) => {
      const value = JSON.parse(line);
      found.push(value);
      take(value);
    };
    const stop = () => child.kill("SIGTERM");
    signal?.addEventListener("abort", stop, { once: true });
    child.on("error", (error) => {
      const hint = "check the path: inside app.asar nothing can be started";
      const message = `cannot start ${program}: ${error.message}`;
      reject(new DictationError("spawn_failed", message, hint));
    });
    child.stdin?.on("error", () => {});
    child.stdin?.end();
    child.stdout?.on("data", (bytes) => splitter.push(bytes).forEach(push));
    child.stderr?.setEncoding("utf8").on("data", (text) => (said = (said + text).slice(-8_192)));
    child.on("close", (exitCode, killedBy) => {
      signal?.removeEventListener("abort", stop);
      if (signal?.aborted) return reject(signal.reason);
      if (exitCode === 0) return resolve(found);
      const [, message, hint = ""] = said.match(/^Error: (.*)\n?\s*(.*)$/m) ?? [];
      const code = EXIT_NAMES.get(String(exitCode)) ?? "crashed";
      const error = new DictationError(code, message ?? `it ended with ${killedBy ?? exitCode}`, hint);
      reject(Object.assign(error, { exitCode, stderr: said }));
    });
  });
}
