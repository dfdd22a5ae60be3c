import type { Check } from "./check.ts";
import * as machine from "./machine.ts";
import * as programs from "./programs.ts";
import * as storage from "./storage.ts";

/** In the order in which a stranger needs them: what runs this, a machine, its speed, containers without one, the rest. */
export const checks: readonly Check[] = [
  machine.node,
  machine.user,
  programs.qemu,
  programs.setpriv,
  programs.image,
  machine.memory,
  machine.kvm,
  machine.vsock,
  storage.cache,
  storage.scratch,
  programs.mke2fs,
  programs.runc,
  programs.crun,
  machine.cgroups,
  programs.busybox,
  storage.temporary,
  programs.others,
  storage.state,
  storage.service,
];
