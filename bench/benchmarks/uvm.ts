/** In a virtual machine: how long the boot takes by stage, one container's life there, and the image's size by part. */
import { existsSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { makeDefaultSpec } from "../../src/hcs/uvm/default-spec.ts";
import { type BootStage, QemuUvm } from "../../src/hcs/uvm/qemu/qemu-uvm.ts";
import type { UtilityVm } from "../../src/hcs/uvm/utility-vm.ts";
import type { OciSpec } from "../../src/protocol/schemas/oci.ts";
import { run } from "../command.ts";
import { HELLO, nextId } from "../containers.ts";
import type { Measurement } from "../measurement.ts";
import { median } from "../statistics.ts";
import type { Benchmark } from "../world.ts";

const root = `${import.meta.dirname}/../..`;

/** crun is the default of our own host. */
type Runtime = "crun" | "runc";
type Stage = Exclude<BootStage, "kernel"> | "output";
const stages: readonly (readonly [Stage, string])[] = [
  ["init", "boot: until /init dials the host"],
  ["agent", "boot: from there until the agent starts"],
  ["negotiated", "boot: from there until the agent has negotiated"],
  ["output", "boot: from there until a container's first output"],
];

export const uvm: Benchmark = async (world) => {
  const parts = await builtParts();
  const boots: Record<Stage, number>[] = [];
  const lives: Record<Runtime, number[]> = { crun: [], runc: [] };
  for (let boot = 0; boot < (world.quick ? 1 : 3); boot++) {
    world.progress(`booting, ${boot + 1}`);
    boots.push(await bootOnce("crun", lives.crun));
    await bootOnce("runc", lives.runc);
  }
  const at = (stage: Stage) => median(boots.map((times) => times[stage]));
  let before = 0;
  const lines: Measurement[] = stages.map(([stage, title]) => {
    const value = at(stage) - before;
    before = at(stage);
    return { name: `uvm.boot.${stage}`, title, unit: "ms", value };
  });
  const line = (name: string, title: string, unit: string, value: number) =>
    lines.push({ name, title, unit, value });
  line("uvm.boot", "boot: QEMU's start to a container's first output", "ms", at("output"));
  line("uvm.life", "container life in the virtual machine", "ms", median(lives.crun));
  line("uvm.life.runc", "container life there with runc", "ms", median(lives.runc));
  for (const { part, packed } of parts)
    line(`uvm.size.${part}`, `image: ${part}, packed`, "MB", packed / 1e6);
  return lines;
};

interface Part {
  readonly part: string;
  readonly packed: number;
}

/** Brings the image up to date. An image of before its parts were written down is built again. */
async function builtParts(): Promise<readonly Part[]> {
  const manifest = `${root}/out/image.json`;
  const read = () =>
    existsSync(manifest)
      ? (JSON.parse(readFileSync(manifest, "utf8")) as { parts?: readonly Part[] }).parts
      : undefined;
  const build = (...args: string[]) => run(process.execPath, [`${root}/rootfs/build.ts`, ...args]);
  await build();
  if (read() === undefined) await build("--force");
  return read() ?? [];
}

/** @param lives takes the times of the lives after the first. */
async function bootOnce(ociRuntime: Runtime, lives: number[]): Promise<Record<Stage, number>> {
  const start = performance.now();
  const times: Partial<Record<BootStage, number>> = {};
  const vm = await QemuUvm.start({
    kernel: `${root}/out/vmlinux`,
    initrd: `${root}/out/initrd.img`,
    ociRuntime,
    onStage: (stage) => {
      times[stage] ??= performance.now() - start;
    },
  });
  try {
    const { path, readonly, temporaryDirectories } = await vm.prepareRoot();
    const live = () => life(vm, { path, readonly, temporaryDirectories });
    const output = (await live()) - start;
    for (let count = 0; count < 5; count++) {
      const began = performance.now();
      await live();
      lives.push(performance.now() - began);
    }
    const { init = 0, agent = 0, negotiated = 0 } = times;
    // Two streams of one guest: the log may be seen a moment after the bridge.
    return { init, agent: Math.min(agent, negotiated), negotiated, output };
  } finally {
    await vm.close();
  }
}

/** @returns when the first output was there, on performance.now()'s clock. */
async function life(vm: UtilityVm, root: Awaited<ReturnType<UtilityVm["prepareRoot"]>>): Promise<number> {
  const id = nextId();
  const spec = makeDefaultSpec({
    args: ["/bin/echo", HELLO],
    rootPath: root.path,
    rootReadonly: root.readonly,
    temporaryDirectories: root.temporaryDirectories,
    terminal: false,
    environment: [],
    hostname: "bench",
    cgroupNamespace: vm.hasUnifiedCgroups,
  });
  const container = await vm.guest.createContainer(id, {
    bundlePath: vm.bundlePath(id),
    spec: spec as unknown as OciSpec,
  });
  await container.start();
  const init = await container.createProcess({ stdout: true });
  if (init.stdout === undefined) throw new Error("the container has no stdout");
  let first = Number.NaN;
  init.stdout.once("data", () => {
    first = performance.now();
  });
  const said = await text(init.stdout);
  if ((await init.wait()) !== 0 || said !== `${HELLO}\n`) throw new Error(`the container said ${said}`);
  await container.deleteState();
  return first;
}
