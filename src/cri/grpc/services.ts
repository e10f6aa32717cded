import type { ImageServiceServer, RuntimeServiceServer } from "../../gen/runtime/v1/api.js";
import { attach } from "../rpc/attach.js";
import { checkpointContainer } from "../rpc/checkpoint-container.js";
import { checkpointPod } from "../rpc/checkpoint-pod.js";
import { containerStats } from "../rpc/container-stats.js";
import { containerStatus } from "../rpc/container-status.js";
import { createContainer } from "../rpc/create-container.js";
import { exec } from "../rpc/exec.js";
import { execSync } from "../rpc/exec-sync.js";
import { getContainerEvents } from "../rpc/get-container-events.js";
import { imageFsInfo } from "../rpc/image-fs-info.js";
import { imageStatus } from "../rpc/image-status.js";
import { listContainerStats } from "../rpc/list-container-stats.js";
import { listContainers } from "../rpc/list-containers.js";
import { listImages } from "../rpc/list-images.js";
import { listMetricDescriptors } from "../rpc/list-metric-descriptors.js";
import { listPodSandbox } from "../rpc/list-pod-sandbox.js";
import { listPodSandboxMetrics } from "../rpc/list-pod-sandbox-metrics.js";
import { listPodSandboxStats } from "../rpc/list-pod-sandbox-stats.js";
import { podSandboxStats } from "../rpc/pod-sandbox-stats.js";
import { podSandboxStatus } from "../rpc/pod-sandbox-status.js";
import { portForward } from "../rpc/port-forward.js";
import { pullImage } from "../rpc/pull-image.js";
import { removeContainer } from "../rpc/remove-container.js";
import { removeImage } from "../rpc/remove-image.js";
import { removePodSandbox } from "../rpc/remove-pod-sandbox.js";
import { reopenContainerLog } from "../rpc/reopen-container-log.js";
import { restorePod } from "../rpc/restore-pod.js";
import { runPodSandbox } from "../rpc/run-pod-sandbox.js";
import { runtimeConfig } from "../rpc/runtime-config.js";
import { startContainer } from "../rpc/start-container.js";
import { status } from "../rpc/status.js";
import { stopContainer } from "../rpc/stop-container.js";
import { stopPodSandbox } from "../rpc/stop-pod-sandbox.js";
import { streamContainerStats } from "../rpc/stream-container-stats.js";
import { streamContainers } from "../rpc/stream-containers.js";
import { streamImages } from "../rpc/stream-images.js";
import { streamPodSandboxMetrics } from "../rpc/stream-pod-sandbox-metrics.js";
import { streamPodSandboxStats } from "../rpc/stream-pod-sandbox-stats.js";
import { streamPodSandboxes } from "../rpc/stream-pod-sandboxes.js";
import { updateContainerResources } from "../rpc/update-container-resources.js";
import { updatePodSandboxResources } from "../rpc/update-pod-sandbox-resources.js";
import { updateRuntimeConfig } from "../rpc/update-runtime-config.js";
import { version } from "../rpc/version.js";
import type { Edge } from "./unary.js";

/** RuntimeService of CRI v0.37.2: every RPC of it, in the order of the proto. */
export function runtimeService(edge: Edge): RuntimeServiceServer {
  return {
    version: edge.unary("Version", version),
    runPodSandbox: edge.unary("RunPodSandbox", runPodSandbox),
    stopPodSandbox: edge.unary("StopPodSandbox", stopPodSandbox),
    removePodSandbox: edge.unary("RemovePodSandbox", removePodSandbox),
    podSandboxStatus: edge.unary("PodSandboxStatus", podSandboxStatus),
    listPodSandbox: edge.unary("ListPodSandbox", listPodSandbox),
    streamPodSandboxes: edge.stream("StreamPodSandboxes", streamPodSandboxes),
    createContainer: edge.unary("CreateContainer", createContainer),
    startContainer: edge.unary("StartContainer", startContainer),
    stopContainer: edge.unary("StopContainer", stopContainer),
    removeContainer: edge.unary("RemoveContainer", removeContainer),
    listContainers: edge.unary("ListContainers", listContainers),
    streamContainers: edge.stream("StreamContainers", streamContainers),
    containerStatus: edge.unary("ContainerStatus", containerStatus),
    updateContainerResources: edge.unary("UpdateContainerResources", updateContainerResources),
    reopenContainerLog: edge.unary("ReopenContainerLog", reopenContainerLog),
    execSync: edge.unary("ExecSync", execSync),
    exec: edge.unary("Exec", exec),
    attach: edge.unary("Attach", attach),
    portForward: edge.unary("PortForward", portForward),
    containerStats: edge.unary("ContainerStats", containerStats),
    listContainerStats: edge.unary("ListContainerStats", listContainerStats),
    streamContainerStats: edge.stream("StreamContainerStats", streamContainerStats),
    podSandboxStats: edge.unary("PodSandboxStats", podSandboxStats),
    listPodSandboxStats: edge.unary("ListPodSandboxStats", listPodSandboxStats),
    streamPodSandboxStats: edge.stream("StreamPodSandboxStats", streamPodSandboxStats),
    updateRuntimeConfig: edge.unary("UpdateRuntimeConfig", updateRuntimeConfig),
    status: edge.unary("Status", status),
    checkpointContainer: edge.unary("CheckpointContainer", checkpointContainer),
    checkpointPod: edge.unary("CheckpointPod", checkpointPod),
    restorePod: edge.unary("RestorePod", restorePod),
    getContainerEvents: edge.stream("GetContainerEvents", getContainerEvents),
    listMetricDescriptors: edge.unary("ListMetricDescriptors", listMetricDescriptors),
    listPodSandboxMetrics: edge.unary("ListPodSandboxMetrics", listPodSandboxMetrics),
    streamPodSandboxMetrics: edge.stream("StreamPodSandboxMetrics", streamPodSandboxMetrics),
    runtimeConfig: edge.unary("RuntimeConfig", runtimeConfig),
    updatePodSandboxResources: edge.unary("UpdatePodSandboxResources", updatePodSandboxResources),
  };
}

/** ImageService of CRI v0.37.2. */
export function imageService(edge: Edge): ImageServiceServer {
  return {
    listImages: edge.unary("ListImages", listImages),
    streamImages: edge.stream("StreamImages", streamImages),
    imageStatus: edge.unary("ImageStatus", imageStatus),
    pullImage: edge.unary("PullImage", pullImage),
    removeImage: edge.unary("RemoveImage", removeImage),
    imageFsInfo: edge.unary("ImageFsInfo", imageFsInfo),
  };
}
