import { messageOf } from "../../base/errors.js";
import type { ByteSink, ForwardRequest, PodConnection } from "../requests.js";

/** The client's side of one forwarded connection. */
export interface ForwardedPair {
  readonly received: AsyncIterable<Uint8Array>;
  readonly data: ByteSink;
  /** The program in the pod has ended its direction. */
  endData(): Promise<void>;
  /** Ends both directions at once. */
  breakOff(): Promise<void>;
  /** The client reads it and ends the whole forward: only for a connection that could not be made. */
  tell(error: string): Promise<void>;
}

/** One connection from its dialling to the end of both directions, each by itself. Never throws. */
export async function forward(
  pair: ForwardedPair,
  port: number,
  request: ForwardRequest,
  signal: AbortSignal,
): Promise<void> {
  let connection: PodConnection;
  try {
    connection = await request.connect(port, signal);
  } catch (thrown) {
    await pair.tell(`an error occurred forwarding port ${String(port)}: ${messageOf(thrown)}`).catch(() => undefined);
    return;
  }
  try {
    await Promise.all([toPod(pair, connection), fromPod(pair, connection)]);
  } catch {
    // One side broke: so does the other.
    await pair.breakOff().catch(() => undefined);
  } finally {
    connection.close();
  }
}

async function toPod(pair: ForwardedPair, connection: PodConnection): Promise<void> {
  for await (const bytes of pair.received) await connection.write(bytes);
  connection.end();
}

async function fromPod(pair: ForwardedPair, connection: PodConnection): Promise<void> {
  for await (const bytes of connection) await pair.data.write(bytes);
  await pair.endData();
}
