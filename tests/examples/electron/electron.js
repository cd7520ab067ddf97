/**
 * What the example uses of Electron, without a screen.
 *
 * A line on stdin is what the window asks for: `start`, `stop`, `quit`. Whatever the main process
 * does with the window or the system is a JSON line on stdout.
 */

import { EventEmitter } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";

const tell = (what, value) => process.stdout.write(`${JSON.stringify([what, value])}\n`);
const handlers = new Map();

if (process.env.FAKE_PLATFORM) {
  Object.defineProperty(process, "platform", { value: process.env.FAKE_PLATFORM });
}
process.resourcesPath = process.env.FAKE_RESOURCES;

export const app = new (class extends EventEmitter {
  isPackaged = Boolean(process.env.FAKE_RESOURCES);
  whenReady = async () => {};
  quit() {
    let prevented = false;
    this.emit("before-quit", { preventDefault: () => (prevented = true) });
    tell("quit", prevented ? "put off" : "now");
    if (!prevented) process.exit();
  }
})();

export class BrowserWindow {
  constructor(options) {
    tell("window", options);
  }
  webContents = { send: (channel, event) => tell(channel, event) };
  isDestroyed = () => false;
  async loadFile(path) {
    tell("page", path);
  }
}

export const ipcMain = { handle: (channel, act) => handlers.set(channel, act) };

export const systemPreferences = {
  async askForMediaAccess(kind) {
    tell("asked", kind);
    return process.env.FAKE_ANSWER === "yes";
  },
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (word) => (word === "quit" ? app.quit() : handlers.get(`dictation:${word}`)({})));
lines.on("close", () => process.exit());
