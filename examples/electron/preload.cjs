/** The three things the page may do; it sees neither Node nor Electron. */

const { contextBridge, ipcRenderer } = require("electron");

contextBridge.exposeInMainWorld("dictation", {
  start: () => ipcRenderer.invoke("dictation:start"),
  stop: () => ipcRenderer.invoke("dictation:stop"),
  onEvent: (listen) => {
    ipcRenderer.on("dictation:event", (_, event) => listen(event));
  },
});
