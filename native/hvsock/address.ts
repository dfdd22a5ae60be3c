/** A Unix socket: a path of at most 107 bytes, or an abstract name that starts with a NUL byte. */
export interface UnixAddress {
  readonly path: string;
}

/** A vsock (Hyper-V or virtio) socket. */
export interface VsockAddress {
  /** Context id: `vsockCid.host` from within a guest. */
  readonly cid: number;
  /** 0 to 0xffffffff. */
  readonly port: number;
}

export type Address = UnixAddress | VsockAddress;

/** Well-known context ids; linux/vm_sockets.h. */
export const vsockCid = {
  /** VMADDR_CID_ANY, to listen on. */
  any: 0xffffffff,
  hypervisor: 0,
  /** VMADDR_CID_LOCAL: this very machine (vsock_loopback). */
  local: 1,
  /** VMADDR_CID_HOST: the host of this guest. */
  host: 2,
} as const;

export function isUnixAddress(address: Address): address is UnixAddress {
  return "path" in address;
}

/** For messages: `unix:/run/x` or `vsock:2:0x40000000`. */
export function describeAddress(address: Address): string {
  if (isUnixAddress(address)) return `unix:${address.path.replace("\0", "@")}`;
  return `vsock:${address.cid}:0x${address.port.toString(16)}`;
}

/** The first two arguments of the binding's startConnect and listen. */
export function nativeAddress(address: Address): [string | number, number] {
  return isUnixAddress(address) ? [address.path, 0] : [address.cid, address.port];
}
