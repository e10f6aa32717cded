/** Descriptors of what is served, by names of files and of what they declare. */
import { type DescFile, createFileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { descriptorSet } from "../../../gen/descriptors.js";

export class Descriptors {
  readonly #files = new Map<string, DescFile>();
  readonly #registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, Buffer.from(descriptorSet, "base64")));

  /** What declares one of these services, and what that imports. */
  constructor(services: readonly string[]) {
    for (const name of services) {
      const service = this.#registry.getService(name);
      if (service !== undefined) this.#add(service.file);
    }
  }

  /** FileDescriptorProtos of a file and of all that it imports, itself first; undefined where there is none of that name. */
  ofFile(name: string): Uint8Array[] | undefined {
    const file = this.#files.get(name);
    return file === undefined
      ? undefined
      : [...withImports(file)].map((one) => toBinary(FileDescriptorProtoSchema, one.proto));
  }

  /** The file that declares a service, a message or an enum, or holds one of their members, by its full name. */
  fileOf(symbol: string): string | undefined {
    const name = symbol.replace(/^\./, "");
    const declared = this.#registry.get(name)?.file ?? this.#ofMember(name);
    return declared === undefined || !this.#files.has(nameOf(declared)) ? undefined : nameOf(declared);
  }

  isMessage(name: string): boolean {
    return this.fileOf(name) !== undefined && this.#registry.getMessage(name) !== undefined;
  }

  #ofMember(name: string): DescFile | undefined {
    const at = name.lastIndexOf(".");
    const [owner, member] = [name.slice(0, Math.max(at, 0)), name.slice(at + 1)];
    const found = this.#registry.get(owner);
    if (found === undefined) return this.#ofValue(name);
    const members: readonly { readonly name: string }[] =
      found.kind === "service" ? found.methods : found.kind === "message" ? [...found.fields, ...found.oneofs] : [];
    return members.some((one) => one.name === member) ? found.file : this.#ofValue(name);
  }

  /** Values of an enum stand beside it, not in it. */
  #ofValue(name: string): DescFile | undefined {
    const scope = name.slice(0, Math.max(name.lastIndexOf("."), 0));
    for (const type of this.#registry) {
      if (type.kind !== "enum" || scopeOf(type.typeName) !== scope) continue;
      if (type.values.some((value) => `${scope}.${value.name}` === name)) return type.file;
    }
    return undefined;
  }

  #add(file: DescFile): void {
    for (const one of withImports(file)) this.#files.set(nameOf(one), one);
  }
}

function scopeOf(typeName: string): string {
  return typeName.slice(0, Math.max(typeName.lastIndexOf("."), 0));
}

function nameOf(file: DescFile): string {
  return file.proto.name;
}

function withImports(file: DescFile, seen = new Set<DescFile>()): Set<DescFile> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const one of file.dependencies) withImports(one, seen);
  return seen;
}
