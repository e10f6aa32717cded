/** What clients of gRPC ask before they know anything. */
import { credentials } from "@grpc/grpc-js";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { HealthClient } from "../../../../src/gen/grpc/health/v1/health.js";
import {
  ServerReflectionClient,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "../../../../src/gen/grpc/reflection/v1/reflection.js";
import { reflection } from "../../../../src/sandboxes/listen/grpc/reflection.js";
import { openBed, portOf, type Bed } from "./bed.js";

type Question = Partial<Omit<ServerReflectionRequest, "host">>;

describe("reflection on the sandboxes' port", () => {
  let bed: Bed;
  let trouble: string | undefined;
  before(async () => {
    bed = await openBed('listen = ["tcp://127.0.0.1:0"]', { health: () => trouble });
  });
  after(async () => {
    await bed.close();
  });

  /** One stream, one answer for each question. */
  async function asked(...questions: readonly Question[]): Promise<ServerReflectionResponse[]> {
    const client = new ServerReflectionClient(`127.0.0.1:${portOf(bed)}`, credentials.createInsecure());
    const call = client.serverReflectionInfo();
    for (const question of questions) call.write({ host: "", ...question });
    call.end();
    const answers: ServerReflectionResponse[] = [];
    const items: AsyncIterable<ServerReflectionResponse> = call;
    for await (const answer of items) answers.push(answer);
    client.close();
    return answers;
  }

  function filesIn(answer: ServerReflectionResponse | undefined): string[] {
    const protos = answer?.fileDescriptorResponse?.fileDescriptorProto ?? [];
    return protos.map((one) => fromBinary(FileDescriptorProtoSchema, one).name);
  }

  it("lists the services that are there", async () => {
    const [answer] = await asked({ listServices: "" });
    expect(answer?.listServicesResponse?.service.map(({ name }) => name)).to.deep.equal([
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
    ]);
  });

  it("describes what they are made of, by any name in them", async () => {
    const file = "grpc/health/v1/health.proto";
    const names = ["Health", "Health.Check", "HealthCheckRequest", "HealthCheckRequest.service"];
    const enums = ["HealthCheckResponse.ServingStatus", "HealthCheckResponse.SERVING"];
    const symbols = [...names, ...enums].map((name) => ({ fileContainingSymbol: `grpc.health.v1.${name}` }));
    const answers = await asked({ fileByFilename: file }, ...symbols);
    expect(answers.map(filesIn)).to.deep.equal([...symbols, ""].map(() => [file]));
  });

  it("does not know what is not there, nor what is served elsewhere", async () => {
    const names = [
      "",
      ".",
      "nothing",
      "grpc.health.v1",
      "__proto__",
      "runtime.v1.RuntimeService",
      "google.protobuf.Any",
    ];
    const answers = await asked(
      ...names.map((fileContainingSymbol) => ({ fileContainingSymbol })),
      { fileByFilename: "runtime/v1/api.proto" },
      { fileContainingExtension: { containingType: "grpc.health.v1.HealthCheckRequest", extensionNumber: 1 } },
      {},
    );
    expect(answers.map(({ errorResponse }) => errorResponse?.errorCode)).to.deep.equal(answers.map(() => 5));
    const [extensions] = await asked({ allExtensionNumbersOfType: "grpc.health.v1.HealthCheckRequest" });
    expect(extensions?.allExtensionNumbersResponse?.extensionNumber).to.deep.equal([]);
  });

  it("is there for older clients under their name", () => {
    const paths = reflection([]).flatMap(({ service }) => Object.values(service).map(({ path }) => path));
    expect(paths).to.deep.equal([
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ]);
  });

  it("has health beside it, of each service, and of what changes", async () => {
    const client = new HealthClient(`127.0.0.1:${portOf(bed)}`, credentials.createInsecure());
    const check = (service: string): Promise<number> =>
      new Promise((resolve) => {
        client.check({ service }, (error, answer) => {
          resolve(error === null ? answer.status : -error.code);
        });
      });
    expect(await check("grpc.health.v1.Health")).to.equal(1);
    expect(await check("nobody.knows.It")).to.equal(-5);
    const seen: number[] = [];
    const watch = client.watch({ service: "" });
    const states: AsyncIterable<{ status: number }> = watch;
    for await (const { status } of states) {
      seen.push(status);
      trouble = seen.length === 1 ? "starting" : undefined;
      if (seen.length === 3) break;
    }
    watch.cancel();
    expect(seen).to.deep.equal([1, 2, 1]);
    client.close();
  });
});
