import { warnOfRemains } from "./warn-of-remains.ts";

/** What is to end in order when the program has nothing left to do. */
interface Service {
  close(): Promise<void>;
}

const services = new Set<Service>();

/**
 * Ends the service's systems when this program comes to its end with systems that run and no handle to any.
 * @returns undoes it
 */
export function endWithProgram(service: Service): () => void {
  if (services.size === 0) process.on("beforeExit", endAll);
  services.add(service);
  return () => {
    services.delete(service);
    if (services.size === 0) process.off("beforeExit", endAll);
  };
}

/** Who is called before the exit may go on working; once. */
function endAll(): void {
  for (const service of services) {
    service.close().catch((error: unknown) => warnOfRemains("of this program's systems", error));
  }
  services.clear();
  process.off("beforeExit", endAll);
}
