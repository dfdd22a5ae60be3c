import * as v from "valibot";
import { AgentError } from "../../../common/errors.ts";
import type { ModifySettingsRequest } from "../../../protocol/schemas/modify-settings.ts";
import type { ModifySettingRequest } from "./schema2.ts";
import { parseStrictly } from "./strict.ts";

const requestType = v.optional(v.picklist(["Add", "Remove", "Update"]), "Add");

const schema = v.strictObject({
  ResourcePath: v.optional(v.string()),
  RequestType: requestType,
  Settings: v.optional(v.unknown()),
  GuestRequest: v.optional(
    v.strictObject({
      RequestType: v.optional(v.picklist(["Add", "Remove", "Update"])),
      ResourceType: v.string(),
      Settings: v.optional(v.unknown()),
    }),
  ),
});

export interface CheckedModification {
  readonly path: string | undefined;
  readonly type: "Add" | "Remove" | "Update";
  readonly settings: unknown;
  readonly guest: ModifySettingsRequest | undefined;
}

/** @throws AgentError INVALID_JSON, INVALID_ARGUMENT when nothing is to be changed */
export function checkModification(request: ModifySettingRequest): CheckedModification {
  const { ResourcePath, RequestType, Settings, GuestRequest } = parseStrictly(
    schema,
    request,
    "modify request",
  );
  if (!ResourcePath && GuestRequest === undefined) {
    throw new AgentError("INVALID_ARGUMENT", "modify request: give a ResourcePath, a GuestRequest or both");
  }
  return {
    path: ResourcePath || undefined,
    type: RequestType,
    settings: Settings,
    // The guest checks the rest by its own schemas.
    guest: GuestRequest && ({ RequestType, ...GuestRequest } as ModifySettingsRequest),
  };
}
