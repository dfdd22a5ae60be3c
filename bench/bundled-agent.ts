/** The agent as the image has it: one file, its native parts beside it, started as the image's launcher starts it. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { bundle } from "../rootfs/bundle.ts";
import { codeCache } from "../rootfs/code-cache.ts";
import { agentCommand } from "../rootfs/image.ts";
import type { AgentCommand } from "./agent.ts";

const root = `${import.meta.dirname}/..`;

/** Builds it into `directory`. */
export async function bundledCommand(directory: string): Promise<AgentCommand> {
  mkdirSync(directory, { recursive: true });
  const { code } = await bundle(`${root}/src/gcs/main.ts`, root);
  writeFileSync(`${directory}/gcs.cjs`, code);
  writeFileSync(`${directory}/gcs.cache`, await codeCache(process.execPath, code));
  cpSync(`${root}/rootfs/start.cjs`, `${directory}/start.cjs`);
  cpSync(`${root}/native/hvsock/build/Release/hvsock.node`, `${directory}/hvsock.node`);
  return ["/usr/bin/env", ...agentCommand.map((item) => here(item, directory))];
}

/** The command's paths are those in the image. */
function here(item: string, directory: string): string {
  return item.replace(/^\/usr\/bin\/node$/, process.execPath).replace(/^\/usr\/lib\/gcs\//, `${directory}/`);
}
