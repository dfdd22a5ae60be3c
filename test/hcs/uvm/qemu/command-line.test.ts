import { test } from "tap";
import { blockNode, diskDevice, qemuArguments } from "../../../../src/hcs/uvm/qemu/command-line.ts";

const choices = {
  accelerator: "tcg",
  controlFd: 8,
  wire: { type: "forwarder", fd: 9 },
} as const;

/** The values that follow an option, in order. */
function values(parameters: readonly string[], option: string): string[] {
  return parameters.filter((_, index) => parameters[index - 1] === option);
}

test("what is asked for stands on QEMU's command line, and nothing else", async (t) => {
  const parameters = qemuArguments(
    {
      kernel: "/boot/kernel",
      initrd: "/boot/initrd",
      memoryMiB: 300,
      cpus: 1,
      kernelArguments: ["quiet"],
      initArguments: ["-e", "1", "/bin/gcs"],
      nics: [
        { mac: "52:54:00:00:00:01", backend: { type: "isolated" } },
        { mac: "52:54:00:00:00:02", backend: { type: "tap", interface: "tap0" } },
      ],
    },
    choices,
  );
  t.same(values(parameters, "-append"), [
    "console=ttyS0 panic=-1 random.trust_cpu=on nr_cpus=1 cryptomgr.notests noreplace-smp tsc=reliable quiet -- -e 1 /bin/gcs",
  ]);
  t.same(values(parameters, "-m"), ["300M"]);
  t.same(values(parameters, "-smp"), ["1"]);
  t.same(values(parameters, "-accel"), ["tcg,thread=single,tb-size=256"]);
  t.same(values(parameters, "-netdev"), [
    "user,id=net0,restrict=on",
    "tap,id=net1,ifname=tap0,script=no,downscript=no",
  ]);
  t.ok(
    values(parameters, "-chardev").includes("socket,id=forwarder,fd=9"),
    "the connections are there already",
  );
  t.same(values(parameters, "-device").slice(0, 3), [
    "virtio-serial-pci,max_ports=2",
    "virtserialport,id=lcow.vsock,chardev=forwarder,name=lcow.vsock",
    "virtio-scsi-pci,id=scsi0",
  ]);
  t.ok(parameters.includes("-nodefaults"));
});

test("real vsock takes the place of the forwarder", async (t) => {
  const parameters = qemuArguments(
    { kernel: "/k" },
    { ...choices, accelerator: "kvm", wire: { type: "vsock", cid: 77 } },
  );
  t.same(values(parameters, "-device"), ["vhost-vsock-pci,guest-cid=77", "virtio-scsi-pci,id=scsi0"]);
  t.same(values(parameters, "-accel"), ["kvm"]);
  t.same(values(parameters, "-smp"), ["2"]);
  t.same(values(parameters, "-append"), ["console=ttyS0 panic=-1 random.trust_cpu=on nr_cpus=2"]);
});

test("an emulated machine has one processor unless it is told otherwise, and one thread for all", async (t) => {
  const cpus = (config: { cpus?: number }) => {
    const parameters = qemuArguments({ kernel: "/k", ...config }, choices);
    return [values(parameters, "-smp"), values(parameters, "-accel"), values(parameters, "-append")[0]];
  };
  t.match(cpus({}), [["1"], ["tcg,thread=single,tb-size=256"], / nr_cpus=1 /]);
  t.match(cpus({ cpus: 3 }), [["3"], ["tcg,thread=single,tb-size=256"], / nr_cpus=3 /]);
});

test("disks are addressed by controller and unit, as the agent looks for them", async (t) => {
  const disk = { path: "/d", lun: 63, controller: 3, readonly: true };
  t.match(diskDevice(disk), { bus: "scsi3.0", channel: 0, "scsi-id": 0, lun: 63, drive: "disk-3-63" });
  t.match(blockNode(disk), { driver: "raw", "read-only": true, file: { filename: "/d", "read-only": true } });
  t.equal(
    values(qemuArguments({ kernel: "/k", disks: [disk] }, choices), "-device").filter((d) =>
      d.startsWith("virtio-scsi"),
    ).length,
    4,
  );
  for (const wrong of [{ lun: 64 }, { lun: -1 }, { lun: 0, controller: 4 }, { lun: 0.5 }]) {
    t.throws(() => blockNode({ path: "/d", ...wrong }), { code: "INVALID_ARGUMENT" });
  }
});

test("what cannot stand there is refused", async (t) => {
  for (const word of ["two words", 'quo"te', ""]) {
    t.throws(() => qemuArguments({ kernel: "/k", initArguments: [word] }, choices), {
      code: "INVALID_ARGUMENT",
    });
  }
  const nic = { mac: "52:54:00", backend: { type: "user" } } as const;
  t.throws(() => qemuArguments({ kernel: "/k", nics: [nic] }, choices), { code: "INVALID_ARGUMENT" });
});
