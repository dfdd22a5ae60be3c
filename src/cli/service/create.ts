import type { ParsedArguments } from "../arguments.ts";
import { CONTAINER_OPTIONS, NAME, OWNER, REMOVE, readContainer } from "../options/container.ts";
import { print } from "../output.ts";
import { readSystemName } from "../values.ts";
import { COMMAND } from "../verb.ts";
import type { Connection } from "./connection.ts";
import { makeDocument, processParameters } from "./document.ts";
import { serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [{ name: "NAME", read: readSystemName }, COMMAND],
  operandsFor: (found) => (found.has("name") ? [COMMAND] : [{ name: "NAME", read: readSystemName }, COMMAND]),
  about: `Makes a container and its virtual machine, which \`lcow start NAME\` then boots; COMMAND becomes its first
process. They outlive this command. With --name NAME it is no operand.`,
  options: [...CONTAINER_OPTIONS, NAME, OWNER],
  async run(found, service) {
    const named = found.read(NAME);
    const [first = "", ...rest] = found.operands;
    const [id, command] = named === undefined ? [first, rest] : [named, found.operands];
    await createSystem(service, id, found, command);
    await print(`${id}\n`);
    return 0;
  },
});

/** @throws UsageError before anything is made */
export async function createSystem(
  service: Connection,
  id: string,
  found: ParsedArguments,
  command: readonly string[],
): Promise<void> {
  const request = readContainer(found, command);
  const document = await makeDocument(request, found.read(OWNER));
  const { local, ociRuntime, accelerator, console, logLevel } = request.session;
  await service.post("/systems", {
    id,
    document,
    init: processParameters(request.process),
    driver: local ? "local" : "qemu",
    ...(ociRuntime !== undefined && { ociRuntime }),
    ...(accelerator !== undefined && { accelerator }),
    ...(console !== undefined && { consoleFile: console }),
    ...(logLevel !== undefined && { logLevel }),
    ...(found.has(REMOVE.name) && { removeAtEnd: true }),
  });
}
