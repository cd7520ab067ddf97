/** Main process: asks for the microphone, spawns one recording at a time, passes its lines on. */

import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { dictate } from "@parakeet/dictation";
import { app, BrowserWindow, ipcMain, systemPreferences } from "electron";

const here = path.dirname(fileURLToPath(import.meta.url));

// Outside app.asar: from inside an archive nothing can be spawned.
const command = app.isPackaged
  ? path.join(process.resourcesPath, "parakeet-coreml", "parakeet-coreml")
  : "parakeet-coreml";

let window = null;
let dictation = null;
let busy = false;
let quitting = false;

function send(event) {
  if (window !== null && !window.isDestroyed()) window.webContents.send("dictation:event", event);
}

/** Asks before the recording begins, so that the system's question never costs its first words. */
async function mayListen() {
  return process.platform !== "darwin" || systemPreferences.askForMediaAccess("microphone");
}

async function record() {
  if (!(await mayListen())) {
    const hint = "Allow it in System Settings, Privacy & Security, Microphone, then start again.";
    throw Object.assign(new Error("No permission for the microphone"), { code: "mic_denied", hint });
  }
  if (quitting) return;
  // Options may also come from the environment: PARAKEET_COREML_MODEL=tiny-en npm start
  dictation = dictate({ command, events: ["level", "partial"] });
  for await (const event of dictation) send(event);
}

ipcMain.handle("dictation:start", async () => {
  if (busy) return;
  busy = true;
  try {
    await record();
  } catch ({ code, message, hint, text }) {
    send({ type: "failed", code, message, hint, text });
  }
  busy = false;
  dictation = null;
  send({ type: "ended" }); // our own, like "failed": the process is gone
  if (quitting) app.quit();
});
ipcMain.handle("dictation:stop", () => {
  dictation?.stop();
});

app.on("before-quit", (event) => {
  if (!busy) return;
  event.preventDefault(); // the last words are on their way: 5 s for them, then the ladder
  quitting = true;
  dictation?.stop({ timeoutMs: 0 });
});
app.on("window-all-closed", () => app.quit());

await app.whenReady();
window = new BrowserWindow({
  width: 560,
  height: 420,
  title: "Dictation",
  webPreferences: { preload: path.join(here, "preload.cjs") },
});
await window.loadFile(path.join(here, "window.html"));
