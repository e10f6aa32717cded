/** Calls of gRPC as promises and lists, for tests. */
import { type ClientReadableStream, type Metadata, type ServiceError, status } from "@grpc/grpc-js";

type Unary<Q, A> = (request: Q, metadata: Metadata, done: (error: ServiceError | null, answer: A) => void) => unknown;

export async function called<Q, A>(client: object, method: Unary<Q, A>, request: Q, metadata: Metadata): Promise<A> {
  return await new Promise<A>((resolve, reject) => {
    method.call(client, request, metadata, (error: ServiceError | null, answer: A) => {
      if (error === null) resolve(answer);
      else reject(error);
    });
  });
}

/** "NOT_FOUND", and "OK" where it has not failed. */
export async function statusOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && typeof thrown.code === "number")
      return status[thrown.code] ?? "";
    throw thrown;
  }
}

export async function allOf<A>(stream: ClientReadableStream<A>): Promise<A[]> {
  const items: A[] = [];
  await new Promise<void>((resolve, reject) => {
    stream.on("data", (item: A) => items.push(item));
    stream.on("end", resolve);
    stream.on("error", reject);
    stream.resume();
  });
  return items;
}

/** The next message of a stream that goes on. */
export async function nextOf<A>(stream: ClientReadableStream<A>): Promise<A> {
  return await new Promise<A>((resolve, reject) => {
    stream.once("error", reject);
    stream.once("data", (item: A) => {
      stream.pause();
      resolve(item);
    });
    stream.resume();
  });
}
