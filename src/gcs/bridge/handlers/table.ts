/** Which handler answers which message, before and after negotiation; the compiler checks that all are there. */
import type { MessageName } from "../../../protocol/messages.ts";
import type { Handler } from "./handler.ts";
import { create, deleteContainerState, shutdownForced, shutdownGraceful, start } from "./lifecycle.ts";
import { modifySettings } from "./modify.ts";
import { negotiateAgain, negotiateProtocol } from "./negotiate.ts";
import { executeProcess, resizeConsole, signalProcess, waitForProcess } from "./process.ts";
import { getProperties } from "./properties.ts";
import { dumpStacks } from "./stacks.ts";

export type HandlerTable = { readonly [Name in MessageName]: Handler<Name> };

export const beforeNegotiation: Pick<HandlerTable, "NegotiateProtocol"> = {
  NegotiateProtocol: negotiateProtocol,
};

export const afterNegotiation: HandlerTable = {
  NegotiateProtocol: negotiateAgain,
  Create: create,
  Start: start,
  ShutdownGraceful: shutdownGraceful,
  ShutdownForced: shutdownForced,
  ExecuteProcess: executeProcess,
  WaitForProcess: waitForProcess,
  SignalProcess: signalProcess,
  ResizeConsole: resizeConsole,
  GetProperties: getProperties,
  ModifySettings: modifySettings,
  DumpStacks: dumpStacks,
  DeleteContainerState: deleteContainerState,
};
