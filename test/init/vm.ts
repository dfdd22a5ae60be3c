import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { Test } from "tap";
import { buildImage, root } from "../rootfs/image.ts";

const out = path.join(root, "out");

export interface Run {
  /** Everything on the serial console, without carriage returns. */
  readonly console: string;
  /** Of QEMU: 0 when the guest powered itself off. */
  readonly code: number | null;
}

export interface BootOptions {
  /** Boot from out/rootfs.ext4 as a virtio disk; else from out/initrd.img. */
  readonly disk?: boolean;
  /** Besides the console and panic=-1, before "--". */
  readonly kernel?: string;
  /** What follows "--": options of /init, the command. The kernel knows double quotes only. */
  readonly init: string;
}

/** A boot takes 3 s on an idle machine; this one may be busy. */
const OFF_WITHIN_MS = 180_000;

/** A command line for `sh -c`, for use in BootOptions.init: one statement a line, without double quotes. */
export function shell(script: string): string {
  const line = script
    .split("\n")
    .map((statement) => statement.trim())
    .filter(Boolean)
    .join("; ");
  if (line.includes('"')) throw new Error("the kernel's command line has no way to write a double quote");
  return `/bin/sh -c "${line}"`;
}

let built: Promise<string> | undefined;

/** Builds the image if need be, boots it in QEMU's emulator and waits until the machine is off. */
export async function boot(t: Test, options: BootOptions): Promise<Run> {
  built ??= buildImage();
  await built;
  const append = [
    "console=ttyS0 panic=-1 quiet",
    options.disk ? "root=/dev/vda ro" : "",
    options.kernel ?? "",
    "--",
    options.init,
  ];
  const commandLine = append.filter(Boolean).join(" ");
  if (commandLine.length > 2047)
    throw new Error(`the kernel's command line ends after 2047 bytes: ${commandLine.length}`);
  const drive = [
    "-drive",
    `if=none,id=root,file=${out}/rootfs.ext4,format=raw,readonly=on`,
    "-device",
    "virtio-blk-pci,drive=root",
  ];
  const child = spawn(
    "qemu-system-x86_64",
    [
      ...["-M", "q35", "-accel", "tcg", "-m", "512", "-nodefaults", "-no-user-config", "-no-reboot"],
      ...["-display", "none", "-serial", "stdio", "-kernel", `${out}/kernel`],
      ...["-initrd", options.disk ? `${out}/boot.img` : `${out}/initrd.img`, "-append", commandLine],
      ...(options.disk ? drive : []),
    ],
    { stdio: ["ignore", "pipe", "inherit"], timeout: OFF_WITHIN_MS, killSignal: "SIGKILL" },
  );
  t.teardown(() => child.kill("SIGKILL"));
  let text = "";
  child.stdout.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
  });
  const [code] = (await once(child, "close")) as [number | null];
  const run = { console: text.replaceAll("\r", ""), code };
  if (code === null)
    throw new Error(`the machine was not off after ${OFF_WITHIN_MS} ms; its console: ${run.console}`);
  return run;
}
