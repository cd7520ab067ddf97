/** What the page may do; it sees neither Node nor Electron. */

const { contextBridge, ipcRenderer } = require("electron");

const ask = (what) => (value) => ipcRenderer.invoke(`dictation:${what}`, value);

contextBridge.exposeInMainWorld("dictation", {
  start: ask("start"), // { model, device }, each "" for the program's own choice
  stop: ask("stop"),
  choices: ask("choices"), // -> { devices, models, fixed }
  download: ask("download"), // name -> whether it is here now
  halt: ask("halt"), // stops the download, which goes on where it stopped
  copy: ask("copy"),
  onEvent: (listen) => {
    ipcRenderer.on("dictation:event", (_, event) => listen(event));
  },
});
