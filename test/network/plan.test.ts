import t from "tap";
import { checkGuid, checkMac, isWithin, parsePrefix } from "../../src/network/addresses.ts";
import { type AdapterConfiguration, nameServersOf, planAdapter } from "../../src/network/plan.ts";

const plan = (adapter: AdapterConfiguration, position = 0, mtu = 1500) =>
  planAdapter(adapter, { interfaceName: "eth0", mtu, position });

await t.test("each setting of an adapter as the commands for it", async (t) => {
  const rows: [string, AdapterConfiguration, string[]][] = [
    [
      "an address",
      { IPConfigs: [{ IPAddress: "10.0.0.5", PrefixLength: 24 }] },
      ["address add 10.0.0.5/24 dev eth0"],
    ],
    [
      "IPv6",
      { IPConfigs: [{ IPAddress: "fd00::5", PrefixLength: 64 }] },
      ["address add fd00::5/64 dev eth0"],
    ],
    [
      "a gateway within the subnet",
      {
        IPConfigs: [{ IPAddress: "10.0.0.5", PrefixLength: 24 }],
        Routes: [{ NextHop: "10.0.0.1", DestinationPrefix: "0.0.0.0/0", Metric: 7 }],
      },
      ["address add 10.0.0.5/24 dev eth0", "route add default via 10.0.0.1 dev eth0 metric 7"],
    ],
    [
      "one outside",
      {
        IPConfigs: [{ IPAddress: "10.0.0.5", PrefixLength: 32 }],
        Routes: [{ NextHop: "169.254.1.1", DestinationPrefix: "0.0.0.0/0" }],
      },
      ["address add 10.0.0.5/32 dev eth0", "route add default via 169.254.1.1 dev eth0 onlink"],
    ],
    [
      "IPv6, by a link-local gateway",
      {
        IPConfigs: [{ IPAddress: "fd00::5", PrefixLength: 64 }],
        Routes: [{ NextHop: "fe80::1", DestinationPrefix: "::/0" }],
      },
      ["address add fd00::5/64 dev eth0", "route add default via fe80::1 dev eth0"],
    ],
    [
      "a route on the link, and the word for no gateway",
      {
        IPConfigs: [{ IPAddress: "10.0.0.5", PrefixLength: 24 }],
        Routes: [
          { DestinationPrefix: "10.9.0.0/16" },
          { NextHop: "0.0.0.0", DestinationPrefix: "0.0.0.0/0" },
          { NextHop: "::", DestinationPrefix: "::/0" },
        ],
      },
      ["address add 10.0.0.5/24 dev eth0", "route add 10.9.0.0/16 dev eth0"],
    ],
  ];
  for (const [name, adapter, lines] of rows) t.same(plan(adapter), ["link set dev eth0 up", ...lines], name);
  t.same(plan({ EncapOverhead: 50 })[0], "link set dev eth0 mtu 1450");
  const second = {
    IPConfigs: [{ IPAddress: "10.1.0.5", PrefixLength: 24 }],
    Routes: [{ NextHop: "10.1.0.1", DestinationPrefix: "0.0.0.0/0" }],
  };
  t.same(plan(second, 1), [
    "link set dev eth0 up",
    "address add 10.1.0.5/24 dev eth0",
    "rule add from 10.1.0.5/32 table 101 priority 5",
    "route add default via 10.1.0.1 dev eth0 metric 500 table 101",
  ]);
  t.match(plan(second, 2).at(-1), "table 102", "a third has a table of its own");
});

await t.test("what is no address, prefix, route or size is refused by its field", async (t) => {
  const address = (IPAddress: string | undefined, PrefixLength = 24) => ({
    IPConfigs: [{ IPAddress, PrefixLength }],
  });
  const route = (NextHop: string, DestinationPrefix: string) => ({
    Routes: [{ NextHop, DestinationPrefix }],
  });
  for (const [adapter, words] of [
    [address("10.0.0"), /^IPConfigs\[0\].IPAddress "10.0.0" is no IPv4/],
    [address(undefined), /IPAddress "" is no/],
    [address("10.0.0.1; reboot"), /is no IPv4/],
    [address("fe80::1%eth0"), /is no IPv4/],
    [address("10.0.0.1", 33), /PrefixLength "33" is no prefix length of an IPv4 address: 0 to 32/],
    [address("fd00::1", 129), /0 to 128/],
    [route("10.0.0.1", "10.0.0.0"), /^Routes\[0\].DestinationPrefix "10.0.0.0" is not ADDRESS\/BITS/],
    [route("10.0.0.1", "10.0.0.0/40"), /is no prefix length/],
    [route("10.0.0.1", ""), /is not ADDRESS/],
    [route("nowhere", "0.0.0.0/0"), /^Routes\[0\].NextHop "nowhere"/],
    [route("", "0.0.0.0/0"), /default route without a NextHop/],
    [route("10.0.0.1", "::/0"), /two families/],
    [{ EncapOverhead: 1440 }, /leaves 60 of the adapter's 1500 bytes/],
  ] as const)
    t.throws(() => plan(adapter), { code: "INVALID_ARGUMENT", message: words }, JSON.stringify(adapter));
  for (const text of [
    "",
    "x",
    "11111111222233334444555555555555",
    "../../etc",
    "11111111-2222-3333-4444-55555555555g",
  ])
    t.throws(() => checkGuid(text, "ID"), { code: "INVALID_ARGUMENT" });
  t.equal(checkGuid("{ABCDEF00-2222-3333-4444-555555555555}", "ID"), "abcdef00-2222-3333-4444-555555555555");
  for (const text of ["", "00-15-5d-00-00", "00:15-5d-00-00-01", "00155d000001", "00-15-5d-00-00-0g"])
    t.throws(() => checkMac(text, "MacAddress"), { code: "INVALID_ARGUMENT" });
  t.equal(checkMac("00-15-5D-00-00-01", "MacAddress"), "00:15:5d:00:00:01");
});

await t.test("name servers and search domains of several adapters, each once", async (t) => {
  t.same(
    nameServersOf([
      { DNSSuffix: "a.example, B.example", DNSServerList: "10.0.0.1,10.0.0.2" },
      { DNSSuffix: "b.example,", DNSServerList: "10.0.0.2, FD00::1" },
      {},
    ]),
    { searches: ["a.example", "b.example"], servers: ["10.0.0.1", "10.0.0.2", "fd00::1"] },
  );
  t.throws(() => nameServersOf([{ DNSServerList: "dns.example" }]), { code: "INVALID_ARGUMENT" });
  t.throws(() => nameServersOf([{ DNSSuffix: "a b" }]), { code: "INVALID_ARGUMENT" });
  t.throws(() => nameServersOf([{ DNSSuffix: "a\nnameserver 6.6.6.6" }]), { code: "INVALID_ARGUMENT" });
});

await t.test("what is within a prefix", async (t) => {
  for (const [address, prefix, expected] of [
    ["10.0.0.255", "10.0.0.0/24", true],
    ["10.0.1.0", "10.0.0.0/24", false],
    ["1.2.3.4", "0.0.0.0/0", true],
    ["10.0.0.1", "10.0.0.1/32", true],
    ["fd00::1:2", "fd00::/64", true],
    ["fd00:0:0:1::2", "fd00::/64", false],
    ["::ffff:10.0.0.1", "::ffff:10.0.0.0/120", true],
    ["10.0.0.1", "::/0", false],
  ] as const)
    t.equal(isWithin(address, parsePrefix(prefix, "p")), expected, `${address} in ${prefix}`);
});
