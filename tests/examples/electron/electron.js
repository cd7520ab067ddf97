/**
 * What the example uses of Electron, without a screen.
 *
 * A line on stdin is what the window asks for: `["start", value]`, `["quit"]`. Whatever the main process
 * does with the window or the system is a JSON line on stdout.
 */

import { EventEmitter } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const tell = (what, value) => process.stdout.write(`${JSON.stringify([what, value])}\n`);
const handlers = new Map();

if (process.env.FAKE_PLATFORM) {
  Object.defineProperty(process, "platform", { value: process.env.FAKE_PLATFORM });
}
process.resourcesPath = process.env.FAKE_RESOURCES;

export const app = new (class extends EventEmitter {
  isPackaged = Boolean(process.env.FAKE_RESOURCES);
  whenReady = async () => {};
  enableSandbox() {
    tell("sandbox", true);
  }
  quit() {
    let prevented = false;
    this.emit("before-quit", { preventDefault: () => (prevented = true) });
    tell("quit", prevented ? "put off" : "now");
    if (!prevented) process.exit();
  }
})();

class Contents extends EventEmitter {
  send = (channel, event) => tell(channel, event);
  setWindowOpenHandler = (decide) => tell("opening", decide({ url: "https://example.com" }));
}

let shown = "";

export class BrowserWindow {
  constructor(options) {
    tell("window", options);
    app.emit("web-contents-created", {}, this.webContents);
    for (const act of ["will-navigate", "will-attach-webview"]) {
      let prevented = false;
      this.webContents.emit(act, { preventDefault: () => (prevented = true) });
      tell(act, prevented ? "refused" : "done");
    }
  }
  webContents = new Contents();
  isDestroyed = () => false;
  async loadFile(path) {
    shown = pathToFileURL(path).href;
    tell("page", path);
  }
}

export const ipcMain = { handle: (channel, act) => handlers.set(channel, act) };

export const clipboard = { writeText: (text) => tell("copied", text) };

export const session = {
  defaultSession: {
    setPermissionRequestHandler: (answer) =>
      answer({}, "media", (allowed) => tell("permission", allowed)),
    setPermissionCheckHandler: (check) => tell("permitted", check()),
  },
};

export const systemPreferences = {
  async askForMediaAccess(kind) {
    tell("asked", kind);
    return process.env.FAKE_ANSWER === "yes";
  },
};

async function ask(line) {
  const [word, value, from = shown] = JSON.parse(line);
  if (word === "quit") return app.quit();
  try {
    const answer = await handlers.get(`dictation:${word}`)({ senderFrame: { url: from } }, value);
    tell("answer", { to: word, answer });
  } catch (error) {
    tell("thrown", { by: word, message: error.message });
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", ask);
lines.on("close", () => process.exit());
