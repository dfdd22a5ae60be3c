/** The image's agent in a virtual machine, for tests that speak frames to it. */
import { copyFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { buildImage } from "../../src/cli/image.ts";
import { layerImage } from "../../src/hcs/uvm/layers/layer-image.ts";
import { createScratchDisk } from "../../src/hcs/uvm/layers/scratch-disk.ts";
import { builtImage } from "../../src/hcs/uvm/qemu/built-image.ts";
import { agentArguments, KERNEL_ARGUMENTS } from "../../src/hcs/uvm/qemu/qemu-uvm.ts";
import { QemuVm } from "../../src/hcs/uvm/qemu/qemu-vm.ts";
import { compileProgram } from "./c-program.ts";
import { executeBody, UVM } from "./gcs-requests.ts";
import { RawHost, withDeadline } from "./raw-host.ts";
import { copyRootfs } from "./rootfs.ts";

const ENTROPY_BYTES = 512;
const SCRATCH_BYTES = 2 ** 30;
/** Emulated and beside other tests, a boot takes its time. */
const BOOT_TIMEOUT_MS = 120_000;
/** Ports for the helper's own processes, far from those of the tests. */
let port = 0x4000f000;

export interface VmGuest {
  readonly vm: QemuVm;
  readonly rootfs: string;
  /** Where the disk with the containers' writes is on this machine. */
  readonly scratchFile: string;
  log(): string;
  /** Settles when the guest has taken its entropy and hung up. @returns bytes that were offered. */
  readonly entropy: Promise<number>;
  /** A host that the agent has dialled; it has not negotiated. */
  connect(): Promise<RawHost>;
  /** The output of a command in the VM, outside any container. */
  output(host: RawHost, command: string): Promise<string>;
  close(): Promise<void>;
}

/** @param directory for the scratch disk; the caller's to remove. */
export async function bootVm(directory: string, ociRuntime = "runc"): Promise<VmGuest> {
  if ((await buildImage()) !== 0) throw new Error("the image could not be built");
  const scratchFile = `${directory}/scratch.ext4`;
  await createScratchDisk(scratchFile, { bytes: SCRATCH_BYTES });
  const layer = await layerImage(rootWithPrograms(directory));
  const vm = await QemuVm.create({
    ...builtImage(),
    kernelArguments: KERNEL_ARGUMENTS,
    initArguments: agentArguments("debug", ociRuntime),
    disks: [
      { path: layer.path, readonly: true, lun: 0 },
      { path: scratchFile, lun: 1 },
    ],
    bootTimeoutMs: BOOT_TIMEOUT_MS,
  });
  let log = "";
  const entropy = Promise.withResolvers<number>();
  await serve(vm, 1, (stream) => {
    stream.end(Buffer.alloc(ENTROPY_BYTES, 0x5a));
    stream.resume();
    stream.on("close", () => entropy.resolve(ENTROPY_BYTES));
  });
  await serve(vm, 109, (stream) => {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      log += text;
    });
  });
  const host = new RawHost(vm.transport);
  const dialled = host.accept(BOOT_TIMEOUT_MS);
  try {
    await vm.start();
    await dialled;
    const rootfs = await combineLayers(host);
    await host.hangUp();
    return {
      vm,
      rootfs,
      scratchFile,
      log: () => log,
      entropy: entropy.promise,
      connect,
      output,
      close: () => vm.close(),
    };
  } catch (error) {
    await vm.close();
    throw error;
  }

  async function connect(): Promise<RawHost> {
    const next = new RawHost(vm.transport);
    await next.accept();
    return next;
  }
}

async function serve(vm: QemuVm, at: number, onStream: (stream: Duplex) => void): Promise<void> {
  const listener = await vm.transport.listen(at);
  void listener.accept().then(
    (stream) => {
      stream.on("error", () => {});
      onStream(stream);
    },
    () => {},
  );
}

/** The busybox root, with the programs that containers attack with. */
function rootWithPrograms(directory: string): string {
  const root = copyRootfs(`${directory}/root`);
  for (const name of ["socket-probe", "huge-command-line", "lift-limit", "take-all"])
    copyFileSync(compileProgram(name), `${root}/bin/${name}`);
  return root;
}

async function combineLayers(host: RawHost): Promise<string> {
  const add = async (ResourceType: string, Settings: object) => {
    const Request = { ResourceType, RequestType: "Add", Settings };
    const reply = await host.request("ModifySettings", { ContainerId: UVM, Request });
    if (reply.Result !== 0) throw new Error(JSON.stringify(reply));
  };
  await host.negotiate();
  await add("MappedVirtualDisk", { MountPath: "/run/mounts/scsi/m0", Controller: 0, Lun: 0, ReadOnly: true });
  await add("MappedVirtualDisk", { MountPath: "/run/mounts/scsi/m1", Controller: 0, Lun: 1 });
  const root = "/run/gcs/c/root/rootfs";
  const layers = {
    ContainerRootPath: root,
    Layers: [{ Path: "/run/mounts/scsi/m0" }],
    ScratchPath: "/run/mounts/scsi/m1",
  };
  await add("CombinedLayers", layers);
  return root;
}

async function output(host: RawHost, command: string): Promise<string> {
  const StdOut = port++;
  let text = "";
  const ended = new Promise<void>((resolve, reject) => {
    host
      .listen(StdOut, (stream) => {
        stream.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        stream.on("end", () => {
          stream.end();
          resolve();
        });
      })
      .catch(reject);
  });
  const parameters = { CommandArgs: ["/bin/sh", "-c", command], CreateStdOutPipe: true };
  const started = await host.request("ExecuteProcess", executeBody(UVM, parameters, { StdOut }));
  if (typeof started.ProcessId !== "number") throw new Error(JSON.stringify(started));
  await withDeadline(ended, `the output of ${command}`);
  await host.stopListening(StdOut);
  return text;
}
