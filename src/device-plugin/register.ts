import { credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { RuntimeError } from "../base/errors.js";
import { RegistrationClient } from "../gen/deviceplugin/v1beta1/deviceplugin.js";
import { fromStatusCode } from "../grpc/status.js";
import { contractVersion, ownSocket, resourceName } from "./resource.js";

const channelOptions = {
  "grpc.enable_http_proxy": 0,
  "grpc.enable_retries": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_channelz": 0,
} as const;

const stage = "register with kubelet";

/** Tells kubelet of the plugin's socket. kubelet connects to it before it answers, or soon after. */
export async function register(kubelet: string, limitMs: number, signal: AbortSignal): Promise<void> {
  const client = new RegistrationClient(`unix:${kubelet}`, credentials.createInsecure(), channelOptions);
  const request = {
    version: contractVersion,
    endpoint: ownSocket,
    resourceName,
    options: { preStartRequired: false, getPreferredAllocationAvailable: false },
  };
  try {
    await new Promise<void>((resolve, reject) => {
      const done = (error: ServiceError | null): void => {
        signal.removeEventListener("abort", cancel);
        if (error === null) resolve();
        else reject(refused(kubelet, error));
      };
      const call = client.register(request, new Metadata(), { deadline: Date.now() + limitMs }, done);
      const cancel = (): void => {
        call.cancel();
      };
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
    });
  } finally {
    client.close();
  }
}

function refused(kubelet: string, { code, details }: ServiceError): RuntimeError {
  return new RuntimeError(fromStatusCode(code), `${kubelet}: ${details}`, {
    stage,
    hint: "it is tried again; kubelet's log says more",
  });
}
