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

/** Who is called before the exit may go on working; once. A failure shows as any rejection that nobody handles. */
function endAll(): void {
  for (const service of services) void service.close();
  services.clear();
  process.off("beforeExit", endAll);
}
