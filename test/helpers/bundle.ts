import { mkdirSync, writeFileSync } from "node:fs";
import { busyboxRootfs } from "./rootfs.ts";

export interface BundleOptions {
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly cwd?: string;
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  /** Default: the shared busybox root. */
  readonly rootfs?: string;
  /** Default: private to the container. */
  readonly sharePidNamespace?: boolean;
  readonly cgroupsPath?: string;
  readonly memoryLimit?: number | bigint;
  /** Merged over the top of the spec. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** An OCI spec as small as one can be that runc, crun and a shell are content with. */
export function ociSpec(options: BundleOptions = {}): Record<string, unknown> {
  const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETUID", "CAP_SETGID"];
  const namespaces = ["network", "ipc", "uts", "mount", ...(options.sharePidNamespace ? [] : ["pid"])];
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: options.terminal ?? false,
      ...(options.consoleSize ? { consoleSize: options.consoleSize } : {}),
      user: { uid: 0, gid: 0 },
      args: options.args ?? ["/bin/sh"],
      env: options.env ?? ["PATH=/bin", "TERM=xterm"],
      cwd: options.cwd ?? "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
    },
    root: { path: options.rootfs ?? busyboxRootfs(), readonly: false },
    hostname: "test",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["size=65536k"] },
    ],
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      ...(options.cgroupsPath === undefined ? {} : { cgroupsPath: options.cgroupsPath }),
      resources: {
        devices: [{ allow: true, access: "rwm" }],
        ...(options.memoryLimit === undefined ? {} : { memory: { limit: Number(options.memoryLimit) } }),
      },
    },
    ...options.extra,
  };
}

/** Makes the directory `path` a bundle. */
export function writeBundle(path: string, options: BundleOptions = {}): string {
  mkdirSync(path, { recursive: true });
  writeFileSync(`${path}/config.json`, JSON.stringify(ociSpec(options)));
  return path;
}
