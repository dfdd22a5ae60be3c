import { Enums, Models, Serialize, Spec } from "@cyclonedx/cyclonedx-library";
import { PackageURL } from "packageurl-js";
import { lockedPackages } from "./locked-packages.ts";
import type { PackageManifest } from "./manifest.ts";

/** What the package is made of and brings with it, as CycloneDX 1.6 in JSON: no time and no number, so always the same. */
export function billOfMaterials(root: string, manifest: PackageManifest): string {
  const { Component } = Models;
  const purl = (name: string, version: string) => {
    const [scope, bare] = name.startsWith("@") ? name.split("/") : [undefined, name];
    return new PackageURL("npm", scope, bare ?? name, version, undefined, undefined).toString();
  };
  const licensed = (component: Models.Component, license: string | undefined) => {
    if (license !== undefined) component.licenses.add(new Models.NamedLicense(license));
    return component;
  };
  const own = licensed(
    new Component(Enums.ComponentType.Library, manifest.name, {
      version: manifest.version,
      purl: purl(manifest.name, manifest.version),
      bomRef: manifest.name,
    }),
    manifest.license,
  );
  const bom = new Models.Bom({ metadata: new Models.Metadata({ component: own }) });
  for (const { name, version, license, integrity, path } of lockedPackages(
    root,
    Object.keys(manifest.dependencies),
  )) {
    const component = new Component(Enums.ComponentType.Library, name, {
      version,
      purl: purl(name, version),
      bomRef: path.replace(/^node_modules\//, ""),
    });
    const [algorithm, digest = ""] = integrity.split("-");
    if (algorithm === "sha512")
      component.hashes.set(Enums.HashAlgorithm["SHA-512"], Buffer.from(digest, "base64").toString("hex"));
    bom.components.add(licensed(component, license));
    own.dependencies.add(component.bomRef);
  }
  const factory = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  return `${new Serialize.JsonSerializer(factory).serialize(bom, { sortLists: true, space: 2 })}\n`;
}
