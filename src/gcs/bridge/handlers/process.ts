import { UVM_CONTAINER_ID } from "../../../protocol/container-id.ts";
import { runsInUtilityVm, signalOf, stdioPortsOf } from "../../../protocol/schemas/process.ts";
import { splitCommandLine } from "../../uvm/command-line.ts";
import type { Handler, HandlerContext } from "./handler.ts";

const ownerOf = (containerId: string) => (containerId === UVM_CONTAINER_ID ? undefined : containerId);

export const executeProcess: Handler<"ExecuteProcess"> = async (context, request) => {
  const parameters = request.Settings.ProcessParameters;
  const ports = stdioPortsOf(request);
  if (runsInUtilityVm(request)) {
    const given = parameters.CommandArgs;
    const [height, width] = parameters.ConsoleSize ?? [];
    const pid = await context.uvm.executeOutside(
      {
        args:
          given === undefined || given.length === 0 ? splitCommandLine(parameters.CommandLine ?? "") : given,
        environment: parameters.Environment ?? {},
        workingDirectory: parameters.WorkingDirectory || "/",
        terminal: parameters.EmulateConsole === true,
        consoleSize: height && width ? { height, width } : undefined,
      },
      ports,
    );
    return { ProcessId: pid };
  }
  const container = context.uvm.container(request.ContainerId);
  const process = parameters.OciProcess;
  return {
    ProcessId: await (process === undefined ? container.start(ports) : container.exec(process, ports)),
  };
};

export const waitForProcess: Handler<"WaitForProcess"> = async (context, request) => {
  const { exitCode, giveUp } = processOf(context, request).startWait(request.TimeoutInMs);
  context.onDropped(giveUp);
  return { ExitCode: await exitCode };
};

export const signalProcess: Handler<"SignalProcess"> = (context, request) => {
  const owner = ownerOf(request.ContainerId);
  const signal = signalOf(request);
  if (owner !== undefined && context.uvm.container(owner).processes.find(request.ProcessId) !== undefined) {
    context.uvm.container(owner).signalProcess(request.ProcessId, signal);
  } else {
    processOf(context, request).signal(signal);
  }
  return {};
};

export const resizeConsole: Handler<"ResizeConsole"> = async (context, request) => {
  await processOf(context, request).resize(request.Height, request.Width);
  return {};
};

function processOf(context: HandlerContext, request: { ContainerId: string; ProcessId: number }) {
  return context.uvm.process(ownerOf(request.ContainerId), request.ProcessId);
}
