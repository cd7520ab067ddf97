/** Main process: asks for the microphone, spawns one recording at a time, passes its lines on. */

import path from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { dictate, downloadModel, listDevices, listModels } from "@parakeet/dictation";
import { app, BrowserWindow, clipboard, ipcMain, session, systemPreferences } from "electron";

const here = path.dirname(fileURLToPath(import.meta.url));
const page = path.join(here, "window.html");

// Outside app.asar: from inside an archive nothing can be spawned. Unpacked it is the program that
// PARAKEET_COREML names, or the one on the PATH.
const command = app.isPackaged
  ? path.join(process.resourcesPath, "parakeet-coreml", "parakeet-coreml")
  : (process.env.PARAKEET_COREML ?? "parakeet-coreml");
const backend = process.platform === "darwin" && process.arch === "arm64" ? "coreml" : "onnx";

let window = null;
let dictation = null;
let download = null;
let busy = false;
let quitting = false;

function send(event) {
  if (window !== null && !window.isDestroyed()) window.webContents.send("dictation:event", event);
}

function sendFailure({ code, message, hint, text }) {
  send({ type: "failed", code, message, hint, text });
}

/** Asks before the recording begins, so that the system's question never costs its first words. */
async function mayListen() {
  return process.platform !== "darwin" || systemPreferences.askForMediaAccess("microphone");
}

async function record({ model, device }) {
  if (!(await mayListen())) {
    const hint = "Allow it in System Settings, Privacy & Security, Microphone, then start again.";
    throw Object.assign(new Error("No permission for the microphone"), { code: "mic_denied", hint });
  }
  if (quitting) return;
  // Options may also come from the environment: PARAKEET_COREML_MODEL=tiny-en npm start
  dictation = dictate({ command, model, device, events: ["level", "partial"] });
  for await (const event of dictation) send(event);
}

async function start(choice) {
  if (busy) return;
  busy = true;
  try {
    await record(choice);
  } catch (error) {
    sendFailure(error);
  }
  busy = false;
  dictation = null;
  send({ type: "ended" }); // our own, like "failed": the process is gone
  if (quitting) app.quit();
}

/** Fetches a model and says how far it is; what has arrived is kept, whatever happens. */
async function fetchModel(name) {
  if (download !== null) return false;
  download = new AbortController();
  const { signal } = download;
  try {
    await downloadModel(name, { command, signal, onProgress: send });
  } catch (error) {
    if (!signal.aborted) sendFailure(error);
    return false;
  } finally {
    download = null;
  }
  return true;
}

/** What the window may choose from; each list is empty where it cannot be had. */
async function choices() {
  const [devices, models] = await Promise.allSettled([
    listDevices({ command }),
    listModels({ command }),
  ]);
  if (models.status === "rejected") sendFailure(models.reason);
  return {
    devices: devices.value ?? [],
    models: (models.value ?? []).filter((model) => model.backend === backend),
    fixed: process.env.PARAKEET_COREML_MODEL ?? null,
  };
}

/** A name as the page may send it: a text that is no option, or nothing. */
const named = (value) => (typeof value === "string" && value !== "" ? value : undefined);

const HANDLERS = {
  start: (choice) => start({ model: named(choice?.model), device: named(choice?.device) }),
  stop: () => void dictation?.stop().catch(() => {}), // `start` tells what went wrong
  choices,
  download: (name) => fetchModel(String(name)),
  halt: () => download?.abort(),
  copy: (text) => clipboard.writeText(String(text)),
};
for (const [name, act] of Object.entries(HANDLERS)) {
  ipcMain.handle(`dictation:${name}`, (event, value) => {
    // Nothing but our own page may ask.
    if (event.senderFrame?.url !== pathToFileURL(page).href) throw new Error("who asks?");
    return act(value);
  });
}

app.enableSandbox();
app.on("web-contents-created", (_, contents) => {
  contents.on("will-navigate", (event) => event.preventDefault());
  contents.on("will-attach-webview", (event) => event.preventDefault());
  contents.setWindowOpenHandler(() => ({ action: "deny" }));
});
app.on("before-quit", (event) => {
  download?.abort();
  if (!busy) return;
  event.preventDefault(); // the last words are on their way: 5 s for them, then the ladder
  quitting = true;
  dictation?.stop({ timeoutMs: 0 }).catch(() => {});
});
app.on("window-all-closed", () => app.quit());

await app.whenReady();
// The page needs no permission of the browser's: the recorder has the microphone, not the page.
session.defaultSession.setPermissionRequestHandler((_contents, _permission, answer) => answer(false));
session.defaultSession.setPermissionCheckHandler(() => false);
window = new BrowserWindow({
  width: 620,
  height: 460,
  minWidth: 340,
  minHeight: 300,
  title: "Dictation",
  webPreferences: {
    preload: path.join(here, "preload.cjs"),
    contextIsolation: true,
    sandbox: true,
    nodeIntegration: false,
  },
});
await window.loadFile(page);
