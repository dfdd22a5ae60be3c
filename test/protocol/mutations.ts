import { stringifyJson } from "../../src/common/json.ts";
import type { MessageName } from "../../src/protocol/messages.ts";
import { recordedFrames, unfold } from "./transcript.ts";

export type Path = readonly (string | number)[];
type Json = Record<string, unknown>;

/** Fields that are strings of JSON on the wire. */
const STRINGS_OF_JSON = new Set(["ContainerConfig", "ProcessParameters", "Query", "Properties"]);

/** What the recording has only in other combinations, so that every typed field is mutated somewhere. */
const fuller: Partial<Record<MessageName, Json>> = {
  ModifySettings: {
    ContainerId: "00000000-0000-0000-0000-000000000000",
    Request: {
      ResourceType: "CombinedLayers",
      RequestType: "Add",
      Settings: {
        ContainerID: "abc",
        ContainerRootPath: "/run/gcs/c/abc/rootfs",
        Layers: [{ Id: "0", Path: "/run/layers/0" }],
        ScratchPath: "/run/gcs/c/abc/scratch",
      },
    },
  },
};

/** A valid request of the name, nested JSON unfolded: the longest in the recording, or a fuller one. */
export function sampleRequest(name: MessageName): Json {
  const longest = recordedFrames
    .filter((frame) => frame.kind === "request" && frame.name === name)
    .map((frame) => unfold(frame.body) as Json)
    .sort((one, other) => stringifyJson(other).length - stringifyJson(one).length)[0];
  const sample = fuller[name] ?? longest;
  if (sample === undefined) throw new Error(`the recording has no ${name} request`);
  return sample;
}

/** The body as on the wire: nested JSON in strings. */
export function toWire(value: unknown): string {
  return stringifyJson(fold(value));
}

function fold(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fold);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      const isText =
        STRINGS_OF_JSON.has(key) && typeof member === "object" && member !== null && !Array.isArray(member);
      return [key, isText ? stringifyJson(member) : fold(member)];
    }),
  );
}

/** Every field and element, outermost first. */
export function pathsOf(value: unknown, at: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [];
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  return keys.flatMap((key) => {
    const path = [...at, key];
    return [path, ...pathsOf((value as Json)[key], path)];
  });
}

/** A deep copy with the field replaced; without it when `replacement` is undefined. */
export function withField(value: unknown, path: Path, replacement: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return replacement;
  if (Array.isArray(value)) {
    return value.flatMap((element, index) => {
      if (index !== key) return [element];
      const changed = withField(element, rest, replacement);
      return changed === undefined ? [] : [changed];
    });
  }
  const { [key]: member, ...others } = value as Json;
  const changed = withField(member, rest, replacement);
  return changed === undefined ? others : { ...others, [key]: changed };
}

/** As the codec's messages write it: `a.b[1].c`. */
export function formatPath(path: Path): string {
  return path
    .map((key, index) => (typeof key === "number" ? `[${key}]` : index === 0 ? key : `.${key}`))
    .join("");
}
