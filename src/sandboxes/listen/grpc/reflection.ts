/** `grpc.reflection`: what services there are, and what their messages are made of (grpcurl list, describe). */
import { status, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js";
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  type ServerReflectionServer,
  ServerReflectionService,
} from "../../../gen/grpc/reflection/v1/reflection.js";
import type { GrpcProtocol } from "../protocol.js";
import { Descriptors } from "./descriptors.js";
import { serviceNames } from "./service-names.js";

/** Its version 1, and the one before, which is the same under another name: older clients ask for that alone. */
export function reflection(others: readonly GrpcProtocol[]): GrpcProtocol[] {
  const names = serviceNames([...others, { service: ServerReflectionService }]).sort();
  const descriptors = new Descriptors(names);
  const implementation = (): UntypedServiceImplementation => {
    const server: ServerReflectionServer = {
      serverReflectionInfo: (call) => {
        call.on("data", (request: ServerReflectionRequest) => {
          const isTaken = call.write(answerTo(request, names, descriptors));
          if (!isTaken) {
            call.pause();
            call.once("drain", () => call.resume());
          }
        });
        call.on("end", () => {
          call.end();
        });
      },
    };
    return { ...server };
  };
  return [
    { service: ServerReflectionService, implementation },
    { service: renamed(ServerReflectionService, "grpc.reflection.v1alpha"), implementation },
  ];
}

function renamed(service: ServiceDefinition, to: string): ServiceDefinition {
  const methods = Object.entries(service).map(([name, method]) => {
    return [name, { ...method, path: method.path.replace("grpc.reflection.v1", to) }] as const;
  });
  return Object.fromEntries(methods);
}

function answerTo(
  request: ServerReflectionRequest,
  names: readonly string[],
  descriptors: Descriptors,
): ServerReflectionResponse {
  const answer: ServerReflectionResponse = { validHost: request.host, originalRequest: request };
  const filed = (file: string | undefined): ServerReflectionResponse => {
    const protos = file === undefined ? undefined : descriptors.ofFile(file);
    if (protos === undefined) return notFound(answer);
    return { ...answer, fileDescriptorResponse: { fileDescriptorProto: protos.map((one) => Buffer.from(one)) } };
  };
  if (request.listServices !== undefined) {
    return { ...answer, listServicesResponse: { service: names.map((name) => ({ name })) } };
  }
  if (request.fileByFilename !== undefined) return filed(request.fileByFilename);
  if (request.fileContainingSymbol !== undefined) return filed(descriptors.fileOf(request.fileContainingSymbol));
  const extended = request.allExtensionNumbersOfType;
  if (extended !== undefined && descriptors.isMessage(extended)) {
    return { ...answer, allExtensionNumbersResponse: { baseTypeName: extended, extensionNumber: [] } };
  }
  return notFound(answer); // there are no extensions
}

function notFound(answer: ServerReflectionResponse): ServerReflectionResponse {
  return { ...answer, errorResponse: { errorCode: status.NOT_FOUND, errorMessage: "there is none of that name" } };
}
