/** Where `--sandboxes` without an address listens: beside an app, in its pod. */
export const sidecarUrl = "tcp://127.0.0.1:4088";
