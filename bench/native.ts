/** The bench's own C programs: the floors, and the ends that produce and consume bytes. */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";

export interface NativePrograms {
  readonly copyRelay: string;
  readonly bytes: string;
  readonly load: string;
  readonly echo: string;
}

/** Compiles them into `directory`. @throws Error with the compiler's words. */
export function buildNativePrograms(directory: string): NativePrograms {
  mkdirSync(directory, { recursive: true });
  const build = (name: string) => {
    const target = `${directory}/${name}`;
    const source = `${import.meta.dirname}/native/${name}.c`;
    const flags = ["-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-static"];
    execFileSync("gcc", [...flags, "-o", target, source], { stdio: ["ignore", "inherit", "pipe"] });
    return target;
  };
  return { copyRelay: build("copy-relay"), bytes: build("bytes"), load: build("load"), echo: build("echo") };
}
