/** Request bodies as a host would send them, for tests that speak frames. */
import { type BundleOptions, ociSpec } from "./bundle.ts";
import type { RawHost } from "./raw-host.ts";

export const UVM = "00000000-0000-0000-0000-000000000000";

export function createBody(
  id: string,
  bundlePath: string,
  options: BundleOptions = {},
): Record<string, unknown> {
  const config = {
    SchemaVersion: { Major: 2, Minor: 1 },
    OciBundlePath: bundlePath,
    OciSpecification: ociSpec(options),
  };
  return { ContainerId: id, ContainerConfig: JSON.stringify(config) };
}

export function executeBody(
  id: string,
  parameters: Record<string, unknown> = {},
  ports: Record<string, number> = {},
): Record<string, unknown> {
  return {
    ContainerId: id,
    Settings: { ProcessParameters: JSON.stringify(parameters), VsockStdioRelaySettings: ports },
  };
}

export function execParameters(
  args: readonly string[],
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { OciProcess: { args, cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } }, ...more };
}

/** A container whose init sleeps. @returns init's pid. */
export async function runSleeper(
  host: RawHost,
  id: string,
  bundlePath: string,
  rootfs?: string,
): Promise<number> {
  const options = { args: ["/bin/sleep", "1000"], ...(rootfs !== undefined && { rootfs }) };
  const created = await host.request("Create", createBody(id, bundlePath, options));
  if (created.Result !== 0) throw new Error(`create failed: ${JSON.stringify(created)}`);
  const started = await host.request("ExecuteProcess", executeBody(id));
  if (typeof started.ProcessId !== "number") throw new Error(`start failed: ${JSON.stringify(started)}`);
  return started.ProcessId;
}
