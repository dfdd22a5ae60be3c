import { AgentError } from "../../../common/errors.ts";
import { hotplugBus, netdevNode, nicDevice } from "./command-line.ts";
import { HOTPLUG_PORTS, type Nic } from "./config.ts";
import type { QemuMachine } from "./qemu-machine.ts";

/** Bytes; SECTION_SIZE_BITS of Linux on x86. */
const MEMORY_SECTION = 2 ** 27;

/** What is plugged into a running machine beside disks. QEMU refuses it where the configuration made no room. */
export class Hotplug {
  readonly #machine: () => QemuMachine;
  /** Ports of cards that were plugged in, by name. */
  readonly #nicPorts = new Map<string, number>();
  #memorySlots = 0;

  /** @param machine throws when it does not run */
  constructor(machine: () => QemuMachine) {
    this.#machine = machine;
  }

  /**
   * Plugs a network card into the running machine.
   * @param name by which detachNic() finds it
   * @throws AgentError INVALID_ARGUMENT, INVALID_STATE when all ports are taken, HELPER_FAILED
   */
  async attachNic(name: string, nic: Nic): Promise<void> {
    const machine = this.#machine();
    const port = Array.from({ length: HOTPLUG_PORTS }, (_, index) => index).find(
      (index) => ![...this.#nicPorts.values()].includes(index),
    );
    if (port === undefined || this.#nicPorts.has(name)) {
      throw new AgentError("INVALID_STATE", `there is no room for network card ${name}`);
    }
    const id = `hotnet${port}`;
    const device = nicDevice(id, hotplugBus(port), nic);
    this.#nicPorts.set(name, port);
    try {
      await machine.execute("netdev_add", netdevNode(id, nic));
      try {
        await machine.execute("device_add", device);
      } catch (cause) {
        await machine.execute("netdev_del", { id });
        throw cause;
      }
    } catch (cause) {
      this.#nicPorts.delete(name);
      throw cause;
    }
  }

  /** @throws AgentError DEVICE_NOT_FOUND, HELPER_FAILED, TIMEOUT */
  async detachNic(name: string): Promise<void> {
    const machine = this.#machine();
    const port = this.#nicPorts.get(name);
    if (port === undefined)
      throw new AgentError("DEVICE_NOT_FOUND", `no network card ${name} was plugged in`);
    const id = `hotnet${port}`;
    await machine.removeDevice(`${id}-device`);
    await machine.execute("netdev_del", { id });
    this.#nicPorts.delete(name);
  }

  /**
   * Plugs memory into the running machine.
   * @param mebibytes a multiple of 128, which Linux on x86 adds at once
   * @throws AgentError HELPER_FAILED
   */
  async addMemory(mebibytes: number): Promise<void> {
    const machine = this.#machine();
    const id = `memory${this.#memorySlots}`;
    const size = mebibytes * 2 ** 20;
    machine.cgroup?.addMemory(size);
    await machine.execute("object-add", { "qom-type": "memory-backend-ram", id, size });
    try {
      const addr = await this.#addressBehindMemory(machine);
      const device = { driver: "pc-dimm", id: `${id}-device`, memdev: id };
      await machine.execute("device_add", addr === undefined ? device : { ...device, addr });
    } catch (cause) {
      await machine.execute("object-del", { id });
      throw cause;
    }
    this.#memorySlots++;
  }

  /** Linux takes memory in whole sections only, and other devices may have left an address in the midst of one. */
  async #addressBehindMemory(machine: QemuMachine): Promise<number | undefined> {
    const devices = (await machine.execute("query-memory-devices")) as {
      data: { addr?: number; memaddr?: number; size: number };
    }[];
    const ends = devices.map(({ data }) => (data.addr ?? data.memaddr ?? 0) + data.size);
    return ends.length === 0 ? undefined : Math.ceil(Math.max(...ends) / MEMORY_SECTION) * MEMORY_SECTION;
  }
}
