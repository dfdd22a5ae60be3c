/** A guest that a suite runs against: the agent alone on this machine, or the image's agent in a VM. */
import { readFileSync } from "node:fs";
import type { Agent } from "../../helpers/agent.ts";
import { RawHost } from "../../helpers/raw-host.ts";
import { busyboxRootfs } from "../../helpers/rootfs.ts";

export interface GuestEnvironment {
  /** The agent has dialled it; nothing is negotiated yet. */
  readonly host: RawHost;
  /** Paths in the guest. */
  readonly bundleDirectory: string;
  readonly rootfs: string;
  /** /proc/PID/status in the guest. */
  readStatus(pid: number): Promise<string>;
  /** Open descriptors of the agent, where they can be seen. */
  readonly countDescriptors?: () => number;
}

export async function localEnvironment(agent: Agent): Promise<GuestEnvironment> {
  const host = new RawHost(agent.prefix);
  await host.accept();
  return {
    host,
    bundleDirectory: `${agent.directory}/c`,
    rootfs: busyboxRootfs(),
    readStatus: async (pid) => readFileSync(`/proc/${pid}/status`, "utf8"),
    countDescriptors: () => agent.fdCount(),
  };
}
