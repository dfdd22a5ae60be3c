/** What all benchmarks share, made once and taken away at the end. */
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { Cgroup } from "../src/linux/cgroups/cgroup.ts";
import { detectCgroupLayout } from "../src/linux/cgroups/layout.ts";
import { copyRootfs } from "../test/helpers/rootfs.ts";
import { killRunning } from "./command.ts";
import { makeDirectory } from "./directory.ts";
import type { Measurement } from "./measurement.ts";
import { buildNativePrograms, type NativePrograms } from "./native.ts";

export interface World {
  readonly quick: boolean;
  readonly directory: string;
  readonly rootfs: string;
  readonly programs: NativePrograms;
  /** Told to people while it works. */
  progress(text: string): void;
}

export type Benchmark = (world: World) => Promise<Measurement[]>;

export const rawCgroup = `/gcs-bench-${process.pid}-raw`;

export async function withWorld<Value>(
  options: { readonly quick: boolean },
  work: (world: World) => Promise<Value>,
): Promise<Value> {
  const directory = makeDirectory();
  try {
    const programs = buildNativePrograms(`${directory}/bin`);
    const rootfs = copyRootfs(`${directory}/rootfs`);
    mkdirSync(`${rootfs}/bench`);
    cpSync(programs.bytes, `${rootfs}/bench/bytes`);
    const progress = (text: string) => void process.stderr.write(`bench: ${text}\n`);
    return await work({ ...options, directory, rootfs, programs, progress });
  } finally {
    killRunning();
    rmSync(directory, { recursive: true, force: true });
    await Cgroup.atPath(detectCgroupLayout(), rawCgroup).remove();
  }
}
