/**
 * What Node lacks for this agent: stream sockets over AF_VSOCK, descriptors passed between processes, processes
 * watched by pidfd, and relays that move bytes without touching them. The only room that loads the addon.
 */
export {
  type Address,
  describeAddress,
  isUnixAddress,
  type UnixAddress,
  type VsockAddress,
  vsockCid,
} from "./address.ts";
export { binaryPathVariable } from "./binding.ts";
export { connect, connectFd } from "./connect.ts";
export type { WaitOptions } from "./deadline.ts";
export * from "./descriptors.ts";
export { type ReceivedFd, receiveFd, receiveFdOver, sendFd } from "./fd-passing.ts";
export * from "./hyperv-address.ts";
export { Listener, type ListenOptions, listen } from "./listener.ts";
export * from "./process.ts";
export * from "./relay.ts";
export { type RootFile, readInRoot } from "./root-file.ts";
export * from "./signal.ts";
export { Socket, type SocketOptions } from "./socket.ts";
export * from "./system.ts";
