import type { Test } from "tap";
import type { AgentError } from "../../../src/common/errors.ts";
import type { RunningVm, UtilityVmDriver } from "../../../src/hcs/compute/drivers/driver.ts";
import { GuestConnection } from "../../../src/hcs/guest/guest-connection.ts";
import { ComputeService, type ComputeSystemDocument, type System } from "../../../src/hcs/index.ts";
import { UnixHostTransport } from "../../../src/hcs/transport/unix-host-transport.ts";
import { FakeGuest } from "../guest/fake-guest.ts";
import { shortDirectory } from "../short-directory.ts";

/** Virtual machines whose guest a test plays: for what a sound guest never does. */
export class FakeDriver implements UtilityVmDriver {
  readonly name = "fake";
  readonly died = Promise.withResolvers<AgentError>();
  /** Settles as the test says that the machine is paused. */
  readonly paused = Promise.withResolvers<void>();
  /** What closing machines fails with, by their ids. */
  readonly closeFailures = new Map<string, Error>();
  #guest: FakeGuest | undefined;
  readonly #test: Test;

  constructor(t: Test) {
    this.#test = t;
  }

  get guest(): FakeGuest {
    if (this.#guest === undefined) throw new Error("no machine was started");
    return this.#guest;
  }

  check(): void {}

  async start(id: string): Promise<RunningVm> {
    const prefix = `${shortDirectory(this.#test)}/uvm`;
    const transport = new UnixHostTransport(prefix);
    this.#test.teardown(() => transport.close());
    const connection = await GuestConnection.listen(transport);
    const [guest] = await Promise.all([FakeGuest.negotiated(prefix), connection.accept()]);
    this.#guest = guest;
    const close = async () => {
      await connection.close();
      const failure = this.closeFailures.get(id);
      if (failure !== undefined) throw failure;
    };
    return {
      uvm: {
        guest: connection,
        died: this.died.promise,
        hasUnifiedCgroups: true,
        prepareRoot: () => Promise.reject(new Error("a fake has no roots")),
        bundlePath: (containerId) => `/run/gcs/c/${containerId}`,
        close,
      },
      runtime: { command: "runc" },
      pause: () => this.paused.promise,
      resume: async () => undefined,
    };
  }
}

export interface FakeSystems {
  readonly service: ComputeService;
  readonly driver: FakeDriver;
  readonly guest: FakeGuest;
  readonly vm: System;
  readonly container: System;
}

/** A machine that runs, and a container in it that has not been started. */
export async function fakeSystems(t: Test): Promise<FakeSystems> {
  const driver = new FakeDriver(t);
  const service = new ComputeService({ driver });
  const vm = await service.createComputeSystem("vm", { VirtualMachine: {} });
  await vm.start();
  const { guest } = driver;
  const process = { user: { uid: 0, gid: 0 }, args: ["true"], cwd: "/" };
  const document: ComputeSystemDocument = {
    HostingSystemId: "vm",
    HostedSystem: { OciSpecification: { ociVersion: "1.0.2", process, root: { path: "/r" } } },
  };
  const creating = service.createComputeSystem("c", document);
  guest.answer("Create", (await guest.next("Create")).id, { Result: 0 });
  const container = await creating;
  const starting = container.start();
  guest.answer("Start", (await guest.next("Start")).id, { Result: 0 });
  await starting;
  return { service, driver, guest, vm, container };
}
