import type { Duplex } from "node:stream";
import type { ListenerKind } from "../../metrics/port-figures.js";
import type { Known } from "./who/known.js";

/** One client that has connected, when it is known what it speaks. */
export interface Connection {
  /** Where its bytes are: of TLS, what is inside. */
  readonly socket: Duplex;
  readonly listener: ListenerKind;
  readonly known: Known;
  /** "pod team-a/app-0", "127.0.0.1:5123": for the log. */
  readonly from: string;
  /** Web pages may come by it: by TCP, where no token is asked for. */
  readonly open: boolean;
  /** It is known who has made a request: nobody pushes it out any more. */
  heard(): void;
}
