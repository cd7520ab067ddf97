#!/usr/bin/env node
/**
 * Dictation in a terminal: a line per chunk as it comes. Enter or Ctrl-C ends it.
 *
 *     node examples/node/dictate.mjs --model=tiny-en
 */

import process from "node:process";
import { dictate, DictationError } from "../node-client/index.js";

const command = process.env.PARAKEET_COREML ?? "parakeet-coreml"; // or the one that is named
const dictation = dictate({ command, args: process.argv.slice(2) });
const stop = () => dictation.stop().catch(() => {}); // the loop below tells what went wrong

process.stdin.once("data", stop);
process.on("SIGINT", stop); // the recorder got it as well, which is the same request

try {
  for await (const event of dictation) {
    if (event.type === "ready" && event.what === "capture") {
      console.error(`Listening to ${event.device.name}; Enter ends it`);
    }
    if (event.type === "chunk" && event.text) console.log(event.text);
  }
} catch (error) {
  if (!(error instanceof DictationError)) throw error;
  console.error(`${error.code}: ${error.message}${error.hint && `\n${error.hint}`}`);
  process.exitCode = error.exitCode ?? 1;
} finally {
  process.stdin.destroy(); // else it would keep us waiting for Enter
}
