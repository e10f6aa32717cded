/** JSON lines on standard output: the message is a constant, what varies is a field. */
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
}

export function createLog(write: (line: string) => void): Log {
  const line = (level: string, msg: string, fields: Fields = {}): void => {
    write(`${JSON.stringify({ level, time: new Date().toISOString(), ...fields, msg })}\n`);
  };
  return {
    info: (message, fields) => {
      line("info", message, fields);
    },
    warn: (message, fields) => {
      line("warn", message, fields);
    },
  };
}
