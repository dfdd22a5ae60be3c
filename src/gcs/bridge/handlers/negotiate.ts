import { AgentError } from "../../../common/errors.ts";
import { PROTOCOL_VERSION } from "../../../protocol/messages.ts";
import type { Handler } from "./handler.ts";

export const negotiateProtocol: Handler<"NegotiateProtocol"> = (context, request) => {
  const { MinimumVersion, MaximumVersion } = request;
  if (MinimumVersion > PROTOCOL_VERSION || MaximumVersion < PROTOCOL_VERSION) {
    throw new AgentError(
      "UNSUPPORTED_PROTOCOL_VERSION",
      `the host speaks protocol versions ${MinimumVersion} to ${MaximumVersion}; this agent speaks ${PROTOCOL_VERSION}`,
    );
  }
  context.negotiated(PROTOCOL_VERSION);
  return {
    Version: PROTOCOL_VERSION,
    Capabilities: {
      SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
      RuntimeOsType: "Linux",
      GuestDefinedCapabilities: {
        NamespaceAddRequestSupported: true,
        SignalProcessSupported: true,
        DumpStacksSupported: true,
        DeleteContainerStateSupported: true,
        ContainerPauseSupported: true,
      },
    },
  };
};

export const negotiateAgain: Handler<"NegotiateProtocol"> = () => {
  throw new AgentError("INVALID_STATE", "this connection has negotiated its protocol version already");
};
