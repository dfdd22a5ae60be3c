/** man.ts FILE: writes the manual page lcow(1), as `man -l FILE` shows it. */
import { writeFileSync } from "node:fs";
import { renderManual } from "../src/cli/manual.ts";

const [, , file, surplus] = process.argv;
if (file === undefined || surplus !== undefined) {
  console.error("usage: bin/node-pinned scripts/man.ts FILE, such as lcow.1");
  process.exit(2);
}
writeFileSync(file, await renderManual());
