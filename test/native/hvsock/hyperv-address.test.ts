import fc from "fast-check";
import { test } from "tap";
import {
  cidOfVm,
  decodeHypervAddress,
  encodeHypervAddress,
  hypervAddressBytes,
  hypervVmId,
  portOfServiceId,
  serviceIdOfPort,
  vmOfCid,
  vsockCid,
} from "../../../native/hvsock/index.ts";

test("a vsock port is the first eight digits of its service id", async (t) => {
  t.equal(serviceIdOfPort(0x40000000), "40000000-facb-11e6-bd58-64006a7986d3");
  t.equal(serviceIdOfPort(109), "0000006d-facb-11e6-bd58-64006a7986d3");
  t.equal(serviceIdOfPort(0xffffffff), "ffffffff-facb-11e6-bd58-64006a7986d3");
  t.equal(portOfServiceId("40000001-FACB-11E6-BD58-64006A7986D3"), 0x40000001, "letter case does not matter");
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffffffff }),
      (port) => portOfServiceId(serviceIdOfPort(port)) === port,
    ),
  );
});

test("what is no port and no service id of a port is refused", async (t) => {
  for (const port of [-1, 0x100000000, 1.5, Number.NaN]) {
    t.throws(() => serviceIdOfPort(port), { code: "INVALID_ARGUMENT" }, String(port));
  }
  const foreign = "40000000-facb-11e6-bd58-64006a7986d4";
  for (const id of ["", "40000000", foreign, "4000000g-facb-11e6-bd58-64006a7986d3"]) {
    t.throws(() => portOfServiceId(id), { code: "INVALID_ARGUMENT" }, id);
  }
});

test("a socket address has the bytes that Windows has", async (t) => {
  const address = { vmId: hypervVmId.parent, serviceId: serviceIdOfPort(0x40000000) };
  const bytes = encodeHypervAddress(address);
  // family 34, reserved, then two GUIDs whose first three fields are little endian
  const expected = "22000000" + "da7c2ea43fd00c489cc2a4de20abb878" + "00000040cbfae611bd5864006a7986d3";
  t.equal(bytes.toString("hex"), expected);
  t.same(decodeHypervAddress(bytes), address);
  t.same(
    decodeHypervAddress(Buffer.concat([bytes, Buffer.alloc(3)])),
    address,
    "bytes after it do not matter",
  );
});

test("every address comes back as it was", async (t) => {
  fc.assert(
    fc.property(fc.uuid(), fc.uuid(), (vmId, serviceId) => {
      const back = decodeHypervAddress(encodeHypervAddress({ vmId, serviceId }));
      return back.vmId === vmId && back.serviceId === serviceId;
    }),
  );
  t.pass("by property");
});

test("a wrong family or length is refused", async (t) => {
  t.throws(() => decodeHypervAddress(Buffer.alloc(hypervAddressBytes - 1)), { code: "INVALID_DATA" });
  t.throws(() => decodeHypervAddress(Buffer.alloc(hypervAddressBytes)), { code: "INVALID_DATA" });
  t.throws(() => encodeHypervAddress({ vmId: "x", serviceId: serviceIdOfPort(1) }), {
    code: "INVALID_ARGUMENT",
  });
});

test("VM ids and context ids name the same machines", async (t) => {
  t.equal(cidOfVm(hypervVmId.parent), vsockCid.host);
  t.equal(cidOfVm(hypervVmId.loopback.toUpperCase()), vsockCid.local);
  t.equal(cidOfVm(hypervVmId.wildcard), vsockCid.any);
  t.equal(cidOfVm(hypervVmId.children), undefined, "there is no context id for all children");
  t.equal(vmOfCid(vsockCid.host), hypervVmId.parent);
  t.equal(vmOfCid(77), undefined);
});
