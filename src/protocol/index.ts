/**
 * The wire between a host and the agent, for both sides: frames, messages with their schemas, HRESULTs. docs/protocol.md
 * describes it.
 */
export { AgentError, type ErrorCode } from "../common/errors.ts";
export * from "./codec.ts";
export * from "./container-id.ts";
export * from "./frame.ts";
export * from "./hresult.ts";
export * from "./messages.ts";
export { type ModifySettingsRequest, RESOURCE_TYPES, type ResourceType } from "./schemas/modify-settings.ts";
