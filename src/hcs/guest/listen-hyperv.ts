/**
 * On a Windows host: speaking to a guest's agent over Hyper-V sockets. Not yet run on Windows. Making the VM is the
 * caller's part (HCS itself, or hcsshim's tools).
 */

import { HypervHostTransport } from "../transport/hyperv/hyperv-host-transport.ts";
import { Winsock } from "../transport/hyperv/winsock.ts";
import { GuestConnection, type ListenOptions } from "./guest-connection.ts";

export { HypervHostTransport } from "../transport/hyperv/hyperv-host-transport.ts";
export { Winsock } from "../transport/hyperv/winsock.ts";

let winsock: Winsock | undefined;

/**
 * Listens for a guest, which can be started then; accept() on what is returned waits for it.
 * @param vmId GUID of the VM (its RuntimeId)
 * @throws AgentError NOT_SUPPORTED where there is no Winsock, INVALID_ARGUMENT, SYSTEM_CALL_FAILED
 */
export async function listenForGuest(vmId: string, options: ListenOptions = {}): Promise<GuestConnection> {
  winsock ??= new Winsock();
  return await GuestConnection.listen(new HypervHostTransport(vmId, winsock), options);
}
