/** kubelet's own word on which devices it could give, by its API for those that watch a node's resources. */
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";

const method = "/v1.PodResourcesLister/GetAllocatableResources";
const asItIs = (bytes: Buffer): Buffer => bytes;

/** Names of devices, healthy ones alone, as they stand in the answer: nothing else in it looks like them. */
export async function allocatable(kubeletBase: string, names: RegExp): Promise<string[]> {
  const socket = join(kubeletBase, "root/pod-resources/kubelet.sock");
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  try {
    const answer = await new Promise<Buffer>((resolve, reject) => {
      client.makeUnaryRequest(
        method,
        asItIs,
        asItIs,
        Buffer.alloc(0),
        { deadline: Date.now() + 30_000 },
        (error, bytes) => {
          if (bytes !== undefined) resolve(bytes);
          else reject(error ?? new Error("no answer"));
        },
      );
    });
    return answer.toString("latin1").match(names) ?? [];
  } finally {
    client.close();
  }
}
