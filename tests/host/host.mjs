// A host as Electron apps write it: spawns the recorder, reads lines as they come, ends it.
//
//   node host.mjs WAY COMMAND…       WAY: stop, eof, sigterm or die
//
// Repeats each line on its own stdout as {"at":…,"line":…}, and the end as {"code":…,"signal":…}.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const [way, command, ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
const tell = (fields) => process.stdout.write(JSON.stringify(fields) + "\n");
tell({ pid: child.pid });

const ends = {
  stop: () => child.stdin.write("stop\n"),
  eof: () => child.stdin.end(),
  sigterm: () => child.kill("SIGTERM"),
  die: () => process.kill(process.pid, "SIGKILL"),
};

let spoken = 0;
for await (const text of createInterface({ input: child.stdout })) {
  const line = JSON.parse(text);
  tell({ at: Date.now(), line });
  if (line.type === "speech" && line.state === "end" && ++spoken === 2) ends[way]();
}
if (child.exitCode === null && child.signalCode === null) {
  await new Promise((resolve) => child.once("close", resolve));
}
tell({ code: child.exitCode, signal: child.signalCode });
